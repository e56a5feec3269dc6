"""The runtime of the plain target."""

from __future__ import annotations

from trunk.plain_target import PACKAGES as PACKAGES
from trunk.plain_target import Graph

TARGETS = ("plain",)
SUFFIXES = (".npz",)


def open(file, threads, names):
    return Graph(file)


def version():
    return "1"
