"""Virtual environments for runtimes whose packages conflict with the others, and the interpreters to run."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import distributions, version
from importlib.util import find_spec
from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.packages import Packages, Program
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.isolation.emulation import installing as emulated
from edgedistill.system import process

BASE = ("numpy>=2", "safetensors>=0.8")
"""Requirements of the measuring process itself."""
NPM = Program("npm", ("npm",), "with Node.js 20 or later, on Debian: apt-get install nodejs npm")
SAME_AS_HERE = ("torch", "transformers")
"""Installed in exactly this environment's version, including the build (`2.13.0+cpu`): files should be exported by the
code that trained the model, and pip's choice from a range may be another build of several gigabytes."""
_RECORD = "edgedistill.json"
_LOCK = "package-lock.json"
_TORCH_INDEX = "https://download.pytorch.org/whl"


def home() -> Path:
    """Folder of environments: `$EDGEDISTILL_HOME`, or `$XDG_DATA_HOME/edgedistill`, or in the user's data folder."""
    if own := os.environ.get("EDGEDISTILL_HOME"):
        return Path(own).absolute()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data).absolute() if data else Path.home() / ".local" / "share") / "edgedistill"


def folder(name: str) -> Path:
    """The folder of the environment of that name, which may not exist."""
    return home() / "environments" / name


def python_of(name: str) -> Path:
    """The interpreter of the environment of that name."""
    scripts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return folder(name).joinpath(*scripts)


def installed(name: str) -> bool:
    """Whether the environment exists and is complete."""
    return python_of(name).is_file() and (folder(name) / _RECORD).is_file()


def missing_here(packages: Packages) -> list[str]:
    """The modules that this interpreter lacks; all if they are for another machine."""
    if packages.emulated is not None:
        return [f"{name} for {packages.emulated}" for name in packages.imports]
    return [name for name in packages.imports if find_spec(name) is None]


def missing_beside(packages: Packages) -> list[str]:
    """Missing node packages and programs, each as a sentence with the install command."""
    absent = [program.missing for program in packages.programs if program.found() is None]
    if packages.npm is not None and not _npm_installed(packages):
        absent.insert(
            0, f"the node packages of '{packages.environment}' not installed; install with: {packages.install}"
        )
    return absent


def npm_versions(packages: Packages) -> dict[str, str]:
    """The versions of the directly requested node packages, pinned in the lock file."""
    if packages.npm is None:
        return {}
    lock = json.loads(Path(packages.npm, _LOCK).read_text(encoding="utf-8"))["packages"]
    return {name: lock[f"node_modules/{name}"]["version"] for name in lock[""]["dependencies"]}


def interpreter(packages: Packages, cpu: str | None = None) -> Path:
    """An interpreter with these packages: this one if they are installed here, otherwise their environment's.

    Args:
        cpu: the processor to emulate, for packages that are emulated.

    Raises:
        UserError: they are not installed; with the install command.
    """
    if absent := missing_beside(packages):
        raise UserError("; ".join(absent))
    missing = missing_here(packages)
    if not missing:
        return Path(sys.executable)
    if packages.environment is not None and installed(packages.environment):
        if packages.emulated is not None and cpu is not None:
            return emulated.launcher(folder(packages.environment), cpu)
        return python_of(packages.environment)
    raise UserError(f"{' and '.join(missing)} not installed; install with: {packages.install}")


def runtime_versions(runtime: str) -> dict[str, str]:
    """A runtime's library versions; empty if it is not installed."""
    packages = registry.runtime(runtime).packages
    wanted = [*packages.imports, *packages.requirements, *packages.without_dependencies]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in wanted}
    places = None  # this interpreter's
    if missing_here(packages) and packages.environment is not None:
        places = [str(path) for path in folder(packages.environment).glob("**/site-packages")]
    found: dict[str, str] = {}
    for name in sorted(names):
        known = distributions(name=name) if places is None else distributions(name=name, path=places)
        found |= {canonical(distribution.name): distribution.version for distribution in known}
    return found | npm_versions(packages)


def canonical(distribution: str) -> str:
    """The normalised name of a distribution (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def requirements(name: str) -> tuple[str, ...]:
    """Combined requirements of the measuring process and of the targets and runtimes that use this environment.

    Raises:
        UserError: none uses it.
    """
    found = [packages for packages in declared() if packages.environment == name]
    if not found:
        known = sorted({packages.environment for packages in declared() if packages.environment})
        shown = ", ".join(known) or "none yet"
        raise UserError(
            f"no target or runtime has an environment '{name}'; known: {shown}{registry.nearest(name, known)}"
        )
    wanted = [
        requirement for packages in found for requirement in (*packages.requirements, *packages.without_dependencies)
    ]
    return tuple(dict.fromkeys([*BASE, *map(_as_here, wanted)]))


def _as_here(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return f"{name}=={version(name)}" if name in SAME_AS_HERE else requirement


def declared() -> Iterator[Packages]:
    """The requirements of each target and runtime."""
    yield from (registry.target(name).packages for name in registry.names("exporters"))
    yield from (registry.runtime(name).packages for name in registry.names("runtimes"))


def install(name: str) -> Path:
    """Recreate the environment of that name, and return its folder.

    Raises:
        UserError: no such environment.
        EdgedistillError: a command (such as pip or npm) failed; with its last output.
    """
    wanted = requirements(name)
    place = folder(name)
    asking = [packages for packages in declared() if packages.environment == name]
    machine = next((packages.emulated for packages in asking if packages.emulated is not None), None)
    node = next((packages.npm for packages in asking if packages.npm is not None), None)
    npm = NPM.path() if node is not None else ""
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if machine is not None:
        emulated.make(place, machine, BASE, asking, lambda command, where: _call(command, name, where))
    elif node is None or wanted != BASE:
        _call(process.python(Path(sys.executable), "-m", "venv", str(place)), name)
        pip = process.python(python_of(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _call([*pip, *wanted], name)
    if node is not None:
        place.mkdir(exist_ok=True)
        for file in ("package.json", _LOCK):
            shutil.copyfile(Path(node, file), place / file)
        # Package scripts would download more than the lock file pins.
        _call(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", str(place)],
            name,
        )
    record = {"requirements": wanted, "installed": time.strftime("%Y-%m-%d %H:%M:%S")}
    (place / _RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return place


def bridge(place: Path, modules: Iterable[str]) -> Path:
    """A folder that gives another interpreter edgedistill and these modules' packages (`package.module` or
    `package.module:RUNTIME`), and nothing else from this environment, since its site-packages on the path would shadow
    the other's own."""
    shutil.rmtree(place, ignore_errors=True)  # anything there would be imported
    place.mkdir(parents=True)
    for name in {"edgedistill", *(re.split("[.:]", module)[0] for module in modules)}:
        module = importlib.import_module(name)
        assert module.__file__ is not None
        source = Path(module.__file__)
        source = source.parent if source.name == "__init__.py" else source
        target = place / (name if source.is_dir() else source.name)
        try:
            target.symlink_to(source, target_is_directory=source.is_dir())
        except OSError:  # Windows without permission to create links
            shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    return place


def _npm_installed(packages: Packages) -> bool:
    """Whether the node packages are installed completely and match the lock file."""
    assert packages.npm is not None
    assert packages.environment is not None
    place = folder(packages.environment)
    lock = place / _LOCK
    return (
        (place / _RECORD).is_file()
        and (place / "node_modules").is_dir()
        and lock.is_file()
        and lock.read_bytes() == Path(packages.npm, _LOCK).read_bytes()
    )


def _call(command: Sequence[str], name: str, where: Path | None = None) -> None:
    # Not in the working folder, from which pip and npm would read settings.
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=where or elsewhere,
            env=process.environment(),
        )
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[-600:]
        build = version("torch").partition("+")[2]
        hint = f"; PyTorch's own index has its builds: PIP_EXTRA_INDEX_URL={_TORCH_INDEX}/{build}"
        raise EdgedistillError(
            f"environment '{name}' could not be created: {words}{hint if build and 'torch==' in words else ''}"
        )
