"""Creates an environment with an emulated interpreter: a Debian system in a folder, wheels, one launcher per processor.

ONNX Runtime from 1.28 on reads Linux's description of the processor and crashes without it, so every processor gets its
own root with `/proc/cpuinfo` and `/sys/devices/system/cpu`; the rest is shared through links.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgedistill.contracts.packages import Extension, Packages
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.isolation.emulation import debian
from edgedistill.isolation.emulation.cpus import CPUS, DEFAULT_CPU
from edgedistill.isolation.emulation.debian import Call
from edgedistill.isolation.emulation.guest import COUNT_CALL
from edgedistill.system import process

MACHINES = {"aarch64": "arm64"}
"""Emulated machines: `platform.machine()` -> Debian's name."""
COMPILERS = {"aarch64": "aarch64-linux-gnu-g++"}
"""Their C++ cross-compilers."""
_TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux2014")
_TOOLS = {
    "qemu-aarch64": "qemu-user (qemu-user-static alone is not enough: it cannot load plug-ins)",
    "gcc": "gcc",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
"""Required programs -> their Debian packages."""


def make(place: Path, machine: str, base: Sequence[str], asking: Sequence[Packages], call: Call) -> None:
    """Create the environment in `place`, which must not exist.

    Args:
        base: requirements of the measuring process.
        asking: requirements of the runtimes; for packages that are installed here too, the same version is used, so
            that only the processor differs.

    Raises:
        UserError: a program that it needs is missing.
        EdgedistillError: a command failed, or the emulated interpreter does not work as expected.
    """
    extensions = list(dict.fromkeys(extension for packages in asking for extension in packages.extensions))
    _check_tools(_TOOLS | ({COMPILERS[machine]: f"g++-{machine}-linux-gnu"} if extensions else {}))
    own = list(dict.fromkeys(line for packages in asking for line in packages.requirements))
    alone = list(dict.fromkeys(line for packages in asking for line in packages.without_dependencies))
    root = place / "root"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        debian.unpack(MACHINES[machine], root, scratch, call)
        constraints = scratch / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in same_versions([*own, *alone])), encoding="utf-8")
        platforms = [word for tag in _TAGS for word in ("--platform", f"{tag}_{machine}")]
        site = root / "usr" / "local" / "lib" / f"python{debian.PYTHON}" / "dist-packages"
        options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp"]
        options += ["--python-version", debian.PYTHON, "--target", str(site), "--constraint", str(constraints)]
        pip = process.python(Path(sys.executable), "-m", "pip", "install", *options, *platforms)
        call([*pip, *base, *own], scratch)
        if alone:
            call([*pip, "--no-deps", *alone], scratch)
        for extension in extensions:
            call(compiling(extension, COMPILERS[machine], site), scratch)
        source = scratch / "instructions.c"
        source.write_bytes(resources.files(__package__).joinpath("instructions.c").read_bytes())
        plug_in = ["gcc", "-O2", "-shared", "-fPIC", f"-DCOUNT_CALL={COUNT_CALL:#x}"]
        call([*plug_in, "-o", str(place / "instructions.so"), str(source)], scratch)
    for name in CPUS:
        _add_cpu(place, name)
    (place / "bin" / "python").symlink_to(launcher(place, DEFAULT_CPU).name)
    for name in CPUS:
        _check(place, machine, name)


def launcher(place: Path, cpu: str) -> Path:
    """The program that runs the environment's Python on that processor."""
    return place / "bin" / f"python-{cpu}"


def same_versions(requirements: Sequence[str]) -> list[str]:
    """`name==version` for each package that is installed here."""
    found = []
    for line in requirements:
        match = re.match(r"[A-Za-z0-9._-]+", line)
        assert match is not None, line
        try:
            found.append(f"{match.group()}=={version(match.group())}")
        except PackageNotFoundError:
            continue
    return found


def compiling(extension: Extension, compiler: str, site: Path) -> list[str]:
    """The command that compiles an extension for the packages in `site`."""
    definitions = [f"-D{definition}" for definition in extension.definitions]
    # As system headers, to suppress warnings in them.
    headers = [word for header in extension.headers for word in ("-isystem", str(site / header))]
    libraries = ["-L", str(site / extension.folder), "-Wl,--no-as-needed", f"-Wl,-rpath,$ORIGIN/{extension.folder}"]
    libraries += [f"-l{name}" for name in extension.libraries]
    output = ["-o", str(site / extension.file)]
    options = ["-std=c++17", "-O2", "-Wall", "-shared", "-fPIC"]
    return [compiler, *options, *definitions, *headers, *output, str(extension.source), *libraries]


def _check_tools(tools: Mapping[str, str]) -> None:
    missing = [
        f"{tool}, from the Debian package {package}" for tool, package in tools.items() if not process.program(tool)
    ]
    if not debian.KEYRING.is_file():
        missing.append(f"{debian.KEYRING}, from the Debian package debian-archive-keyring")
    if missing:
        raise UserError(f"an emulated environment needs packages that are not installed: {'; '.join(missing)}")


def _add_cpu(place: Path, name: str) -> None:
    """The processor's root and launcher."""
    own = place / "machines" / name
    described = {"proc/cpuinfo": CPUS[name].cpuinfo()}
    described |= {f"sys/devices/system/cpu/{file}": "0\n" for file in ("possible", "present", "online")}
    for file, text in described.items():
        (own / file).parent.mkdir(parents=True, exist_ok=True)
        (own / file).write_text(text, encoding="ascii")
    for folder in sorted((place / "root").iterdir()):
        (own / folder.name).symlink_to(Path("..", "..", "root", folder.name))
    program = launcher(place, name)
    program.parent.mkdir(exist_ok=True)
    emulator = process.program("qemu-aarch64")
    assert emulator is not None
    python = own / "usr" / "bin" / f"python{debian.PYTHON}"
    words = [emulator, "-cpu", name, "-L", str(own), "-plugin", str(place / "instructions.so"), str(python)]
    # A fixed hash seed: other dictionary collisions would change the instruction counts.
    text = f'#!/bin/sh\nexport PYTHONHASHSEED=0\nexec {shlex.join(words)} "$@"\n'
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)


def _check(place: Path, machine: str, cpu: str) -> None:
    """Run it once to check the processor and the counting."""
    code = (
        "import json; from edgedistill.isolation.emulation.guest import instructions, processor\n"
        f"print(json.dumps([processor({machine!r}), instructions() > 0]))"
    )
    package = Path(str(resources.files("edgedistill"))).parent
    command = process.python(launcher(place, cpu), "-c", code)
    environment = process.environment(paths=(package,))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    try:
        facts, counts = json.loads(done.stdout)
    except ValueError:
        words = " ".join((done.stderr or done.stdout).split())[-400:]
        raise EdgedistillError(f"the emulated Python does not run on {cpu}: {words or done.returncode}") from None
    if facts["cpu"] != cpu or not counts:
        raise EdgedistillError(f"the emulated Python should run on {cpu}, but reports {facts}")
