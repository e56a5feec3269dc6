"""The runtime of the toy target."""

from __future__ import annotations

from toy_target import PACKAGES as PACKAGES
from toy_target import Graph

TARGETS = ("toy",)
SUFFIXES = (".toy",)


def open(file, threads, names):
    return Graph(file, threads, names)


def version():
    return "1"
