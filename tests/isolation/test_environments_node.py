from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from edgedistill.contracts.packages import Packages, Program
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.isolation import environments
from edgedistill.runtimes import browser

NPM = """#!/bin/sh
echo "$@" > "$EDGEDISTILL_HOME/asked"
mkdir -p "$EDGEDISTILL_HOME/environments/browser/node_modules"
exit ${NPM_FAILS:-0}
"""


@pytest.fixture
def fake_npm(tmp_path, monkeypatch):
    """An npm that notes how it was called."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    for name, text in (("npm", NPM), ("chromium", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("EDGEDISTILL_HOME", str(home))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return home


def test_npm_installs_what_the_lock_file_pins_without_scripts(fake_npm):
    place = environments.install("browser")
    asked = (fake_npm / "asked").read_text().split()
    assert asked[0] == "ci"
    assert "--ignore-scripts" in asked
    assert (place / "package-lock.json").read_bytes() == Path(browser.PACKAGES.npm, "package-lock.json").read_bytes()
    assert not environments.python_of("browser").exists()
    assert environments.missing_beside(browser.PACKAGES) == []


def test_packages_of_another_lock_file_are_not_installed(fake_npm):
    place = environments.install("browser")
    (place / "package-lock.json").write_text("{}")
    with pytest.raises(UserError, match="install with: edgedistill doctor --install browser"):
        environments.interpreter(browser.PACKAGES)


def test_an_npm_that_fails_leaves_nothing_that_counts_as_installed(fake_npm, monkeypatch):
    monkeypatch.setenv("NPM_FAILS", "1")
    with pytest.raises(EdgedistillError, match="environment 'browser' could not be created"):
        environments.install("browser")
    assert len(environments.missing_beside(browser.PACKAGES)) == 1


def test_a_missing_program_is_named_with_what_installs_it():
    program = Program("Absent", ("absent-1", "absent-2"), "on Debian with: apt-get install absent")
    with pytest.raises(UserError) as error:
        environments.interpreter(Packages(imports=(), programs=(program,)))
    expected = (
        "Absent is not on PATH (looked for absent-1, absent-2); install it, on Debian with: apt-get install absent"
    )
    assert str(error.value) == expected


def test_the_lock_file_pins_what_is_asked_for_and_its_bytes():
    lock = json.loads(Path(browser.PACKAGES.npm, "package-lock.json").read_text())["packages"]
    assert environments.npm_versions(browser.PACKAGES) == {
        "@huggingface/transformers": "4.3.1",
        "onnxruntime-web": "1.30.0",
    }
    assert all("integrity" in package for name, package in lock.items() if name)
