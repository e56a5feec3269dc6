"""The extra `runtimes`, with which the tests of all targets run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from edgedistill.contracts import registry

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
APART = {"litert"}
"""Needs other versions of packages that the rest shares."""


def test_every_target_that_shares_an_environment_is_in_it():
    (words,) = EXTRAS["runtimes"]
    installed = set(re.fullmatch(r"edgedistill\[(.*)\]", words)[1].split(","))
    assert installed == (set(registry.names("exporters")) & EXTRAS.keys()) - APART


def test_its_packages_have_the_version_that_was_tried():
    pinned = set(re.findall(r"^[\w.-]+(?===)", (Path(__file__).parents[2] / "constraints.txt").read_text(), re.M))
    (words,) = EXTRAS["runtimes"]
    for extra in re.fullmatch(r"edgedistill\[(.*)\]", words)[1].split(","):
        assert {re.match(r"[\w.-]+", package)[0] for package in EXTRAS[extra]} <= pinned
