"""The runtime of the toy target."""

from __future__ import annotations

from toy_target import PACKAGES as PACKAGES
from toy_target import Session

TARGETS = ("toy",)
SUFFIXES = (".toy",)


def open(file, threads):
    return Session(file, threads)


def version():
    return "1"
