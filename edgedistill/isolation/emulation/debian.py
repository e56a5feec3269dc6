"""A Debian system for another processor in a folder: packages are downloaded with apt and unpacked, not installed.

apt uses a separate configuration and state, so the machine's packages and sources are untouched, and no root rights are
needed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.system import process

Call = Callable[[Sequence[str], Path], None]
"""Runs a command in a folder, and raises when it fails."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = "bookworm"
PYTHON = "3.11"
"""The Python of that release."""
PACKAGES = (
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "libbz2-1.0",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libssl3",
    "libuuid1",
    "zlib1g",
)
"""Python, its standard library's dependencies, and what wheels expect of a system."""


def unpack(architecture: str, root: Path, scratch: Path, call: Call) -> None:
    """Fill `root` with Python and its libraries for `architecture` (Debian's name: `arm64`).

    Raises:
        UserError: apt has no Debian archive configured.
    """
    configuration = _configuration(architecture, scratch)
    call(["apt-get", "-c", str(configuration), "--quiet", "update"], scratch)
    packages = scratch / "packages"
    packages.mkdir()
    call(["apt-get", "-c", str(configuration), "--quiet", "download", *PACKAGES], packages)
    root.mkdir(parents=True)
    for package in sorted(packages.glob("*.deb")):
        call(["dpkg-deb", "-x", str(package), str(root)], scratch)


def archive(configured: Sequence[str]) -> str:
    """Debian's main archive among apt's sources, or this machine's mirror of it.

    Raises:
        UserError: there is none.
    """
    found = [url for url in configured if url.rstrip("/").endswith("/debian")]
    if not found:
        shown = ", ".join(configured) or "nothing"
        raise UserError(f"apt is configured with {shown}, expected a Debian archive (its address ends with /debian)")
    return found[0]


def _configured() -> list[str]:
    """The archives in this machine's apt configuration."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=process.environment())
    return list(dict.fromkeys(done.stdout.split()))


def _configuration(architecture: str, scratch: Path) -> Path:
    """apt's configuration for a separate folder."""
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").touch()
    source = f"deb [signed-by={KEYRING}] {archive(_configured())} {RELEASE} main"
    (scratch / "sources.list").write_text(source + "\n", encoding="utf-8")
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures::": architecture,
        "APT::Sandbox::User": "root",
        "Dir::State": scratch,
        "Dir::State::lists": scratch / "lists",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "Dir::Etc::sourcelist": scratch / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
    }
    cleared = ("APT::Architectures", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success")
    lines = [f"#clear {name};" for name in cleared] + [f'{name} "{value}";' for name, value in settings.items()]
    file = scratch / "apt.conf"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
