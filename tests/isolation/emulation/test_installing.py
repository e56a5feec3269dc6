from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgedistill.contracts.packages import Extension, Packages
from edgedistill.errors import UserError
from edgedistill.isolation.emulation import installing

EXTENSION = Extension(
    source=Path("/ours/source.cpp"),
    file="ours.so",
    definitions=("OURS",),
    headers=(Path("theirs/include"),),
    folder=Path("theirs/lib"),
    libraries=("theirs",),
)
ASKING = [
    Packages(("a",), ("a>=1", "b>=1"), emulated="aarch64"),
    Packages(("c",), ("a>=1",), without_dependencies=("c>=1",), extensions=(EXTENSION,), emulated="aarch64"),
]


@pytest.fixture
def called(tmp_path, monkeypatch):
    """The commands that make an environment, instead of their doing."""
    commands: list[Sequence[str]] = []
    monkeypatch.setattr(installing.debian, "KEYRING", tmp_path)
    monkeypatch.setattr(installing, "_check_tools", lambda tools: commands.append(sorted(tools)))
    monkeypatch.setattr(installing.debian, "unpack", lambda machine, root, *rest: root.mkdir(parents=True))
    for name in ("_add_cpu", "_check"):
        monkeypatch.setattr(installing, name, lambda *rest: None)

    def make(asking):
        (tmp_path / "made" / "bin").mkdir(parents=True)
        installing.make(
            tmp_path / "made", "aarch64", ["base>=1"], asking, lambda command, where: commands.append(command)
        )
        return commands

    return make


def test_what_several_ask_for_is_installed_once_and_what_is_alone_without_dependencies(called, tmp_path):
    _, together, alone, extension, plug_in = called(ASKING)
    assert together[:5] == [sys.executable, "-P", "-m", "pip", "install"]
    assert together[-3:] == ["base>=1", "a>=1", "b>=1"]
    assert alone[-2:] == ["--no-deps", "c>=1"]
    assert alone[:-2] == together[:-3]
    site = together[together.index("--target") + 1]
    assert extension == installing.compiling(EXTENSION, "aarch64-linux-gnu-g++", Path(site))
    assert plug_in[0] == "gcc"


def test_without_an_extension_no_compiler_for_the_machine_is_needed(called):
    tools, *commands = called(ASKING[:1])
    assert "aarch64-linux-gnu-g++" not in tools
    assert [command[0] for command in commands] == [sys.executable, "gcc"]


def test_the_compiler_is_asked_for_by_its_package(monkeypatch, tmp_path):
    monkeypatch.setattr(installing.process, "program", lambda name: None if name.endswith("g++") else name)
    monkeypatch.setattr(installing.debian, "KEYRING", Path(__file__))
    with pytest.raises(
        UserError, match=r"packages that are not installed: aarch64-linux-gnu-g\+\+, from the Debian package g"
    ):
        installing.make(tmp_path, "aarch64", [], ASKING, lambda *command: None)
