"""Contents and integrity of a bundle's folder. Needs no torch, since it is read on the device.

Everything is checked once, when the bundle is opened. `sha256.txt` covers every byte that is read; since whoever can
write a bundle can also write that file, the contents of the other files are checked too: types, ranges, paths inside
the folder, consistency, and a tolerance that follows from the run's figures.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgedistill.bundling.continuations import CONTINUATIONS, Continuations, read_continuations
from edgedistill.bundling.facts import Facts, read_facts
from edgedistill.bundling.fields import name_problem, shown
from edgedistill.bundling.golden import ANSWERS_FILE, ITEMS_FILE, Golden, check_golden, read_golden
from edgedistill.bundling.strict_json import read_object, read_value
from edgedistill.bundling.version_1 import BUNDLE_1, lift_facts, lift_golden
from edgedistill.contracts import registry
from edgedistill.contracts.driver import Driver, PortNames
from edgedistill.contracts.judge import Judge
from edgedistill.device.files import Component, Files
from edgedistill.errors import EdgedistillError, UserError

FACTS = "bundle.json"
GOLDEN = "golden.json"
HASHES = "sha256.txt"
LABELS = "labels.json"
TOKENIZER = "tokenizer.json"
RESULTS_FILE = "bundle-results.json"
"""Results of `measure`, which may be left in the folder."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_MOST_FILES, _LARGEST_LIST = 10_000, 2**24
_SHOWN_FILES = 5


@dataclass(frozen=True)
class Bundle:
    """An opened bundle."""

    folder: Path
    facts: Facts
    golden: Golden
    """The expected answers."""
    labels: tuple[str, ...]
    continuations: Continuations | None
    """For a task that generates text."""
    unlisted: tuple[str, ...]
    """Files in the folder that are not part of the bundle; they are neither read nor run."""

    @property
    def opened(self) -> Files:
        """The file or folder that the runtime opens."""
        return {
            name: Component(
                {length: self.folder / file for length, file in component.opened},
                PortNames(
                    tuple(port.name for port in component.inputs), tuple(port.name for port in component.outputs)
                ),
            )
            for name, component in self.facts.components.items()
        }


def is_bundle(folder: Path) -> bool:
    """Whether a path looks like a bundle."""
    return (folder / FACTS).is_file()


def open_bundle(folder: Path) -> Bundle:
    """Open the bundle in a folder after checking the integrity and contents of every file.

    Raises:
        UserError: not a bundle, another schema, or malformed.
        EdgedistillError: a file is missing or changed.
    """
    if not is_bundle(folder):
        raise UserError(f"{folder}: is not a bundle, it has no {FACTS}")
    listed = check_hashes(folder)
    content, pad = read_object(folder / FACTS), None
    if content.get("schema") == BUNDLE_1:
        content, pad = lift_facts(content, str(folder / FACTS))
    facts = read_facts(content, str(folder / FACTS))
    _check_device_files(folder, facts, listed)
    labels = _labels(folder, facts)
    task = registry.task(facts.task)
    judge = judge_of(facts)
    driver: Driver = importlib.import_module(task.device).DRIVER
    _check_components(folder, facts, driver)
    if pad is not None:
        golden = lift_golden(read_object(folder / GOLDEN), facts, labels, pad, str(folder / GOLDEN))
        check_golden(golden, facts, labels, judge, folder)
    else:
        for name in (ITEMS_FILE, ANSWERS_FILE):
            if name not in listed:
                raise UserError(f"{folder}: {HASHES} does not list {name}")
        golden = read_golden(read_object(folder / GOLDEN), folder, facts, labels, judge)
    continuations: Continuations | None = None
    if driver.decoder is not None:
        if CONTINUATIONS not in listed:
            raise UserError(f"{folder}: {HASHES} does not list {CONTINUATIONS}")
        continuations = read_continuations(read_object(folder / CONTINUATIONS), folder, len(golden.texts))
    unlisted = tuple(_unlisted(folder, listed))
    beside = {str(Path(name).parent) for name in facts.device_files}
    if near := [name for name in unlisted if str(Path(name).parent) in beside]:
        raise UserError(
            f"{folder}: {shown(near[0])} is beside the model's files, where the runtime might read it, but {HASHES} "
            "does not list it; remove it"
        )
    return Bundle(folder, facts, golden, labels, continuations, unlisted)


def judge_of(facts: Facts) -> Judge:
    """The judge of its answers: the task's, with the recipe's options.

    Raises:
        UserError: a task that is not installed, or has other options.
    """
    return registry.task(facts.task).judge(registry.task_as(facts.task, facts.metric, facts.options))


def _check_components(folder: Path, facts: Facts, driver: Driver) -> None:
    """Raises UserError for a model without the components and outputs that the task needs."""
    if set(facts.components) != set(driver.components):
        raise UserError(
            f"{folder / FACTS}: components are {shown(sorted(facts.components))}, expected "
            f"{', '.join(driver.components)}, the components of '{facts.task}'"
        )
    for name, component in facts.components.items():
        given = [port.name for port in component.outputs]
        if missing := [output for output in driver.outputs[name] if output not in given]:
            raise UserError(f"{folder / FACTS}: outputs are {shown(given)}, expected {', '.join(missing)} among them")


def describe_unlisted(bundle: Bundle) -> str | None:
    """A warning about files that are not part of the bundle, or None."""
    if not bundle.unlisted:
        return None
    names = ", ".join(shown(name) for name in bundle.unlisted[:_SHOWN_FILES])
    more = len(bundle.unlisted) - _SHOWN_FILES
    return (
        f"warning: {names}{f' and {more} more files' if more > 0 else ''} in {bundle.folder} are not part of the "
        f"bundle: {HASHES} does not list them, and they are neither read nor run"
    )


def write_hashes(folder: Path) -> None:
    """Write `sha256.txt` in the format of `sha256sum -c`."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != HASHES)
    lines = [f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    (folder / HASHES).write_text("".join(lines), encoding="utf-8")


def check_hashes(folder: Path) -> Mapping[str, str]:
    """Compare every file with `sha256.txt`, and return its sha256 by name.

    Raises:
        UserError: a list that is missing, malformed, or names a file outside the folder.
        EdgedistillError: names the first file that is missing or has changed.
    """
    listed = _read_hashes(folder)
    for name in (FACTS, GOLDEN, LABELS):
        if name not in listed:
            raise UserError(f"{folder}: {HASHES} does not list {name}")
    for name, expected in listed.items():
        file = _inside(folder, name)
        try:
            found = sha256(file) if file.is_file() else None
        except OSError as error:
            raise EdgedistillError(f"{folder}: {name} cannot be read: {error.strerror}") from None
        if found is None:
            raise EdgedistillError(f"{folder}: {name} is missing, but listed in {HASHES}")
        if found != expected:
            raise EdgedistillError(f"{folder}: {name} has changed: its sha256 is not the one in {HASHES}")
    return listed


def sha256(file: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_hashes(folder: Path) -> dict[str, str]:
    place = folder / HASHES
    try:
        if place.stat().st_size > _LARGEST_LIST:
            raise UserError(f"{place}: is larger than {_LARGEST_LIST} bytes, the limit for such a list")
        lines = place.read_text(encoding="utf-8").split("\n")
    except OSError:
        raise UserError(f"{folder}: {HASHES} is missing, so the other files cannot be checked") from None
    except ValueError:
        raise UserError(f"{place}: is not UTF-8") from None
    listed: dict[str, str] = {}
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f"{place}: line {number} is {shown(line)}, expected a sha256, two spaces and a file name")
        if (problem := name_problem(match[2])) is not None:
            raise UserError(f"{place}: line {number} names {shown(match[2])}, {problem}")
        if match[2] in listed or match[2] == HASHES or number > _MOST_FILES:
            raise UserError(
                f"{place}: line {number} names {shown(match[2])}, expected each file once, and not {HASHES}"
            )
        listed[match[2]] = match[1]
    return listed


def _inside(folder: Path, name: str) -> Path:
    """The file of that name.

    Raises:
        UserError: it is reached through a link to outside the folder.
    """
    try:
        root, real = folder.resolve(), (folder / name).resolve()
    except (OSError, RuntimeError):
        raise UserError(f"{folder}: {shown(name)} is a broken link") from None
    if root not in real.parents:
        raise UserError(f"{folder}: {shown(name)} is a link to outside the bundle")
    return folder / name


def _check_device_files(folder: Path, facts: Facts, listed: Mapping[str, str]) -> None:
    """Raises UserError unless the device files are listed with the right sha256 and have the size that the run
    recorded."""
    for name, expected in facts.device_files.items():
        if listed.get(name) != expected:
            told = "does not list it" if name not in listed else "lists it with another sha256"
            raise UserError(f"{folder / FACTS}: device_files names {shown(name)}, and {HASHES} {told}")
    size = sum((folder / name).stat().st_size for name in facts.device_files)
    if size != facts.file_bytes:
        raise UserError(
            f"{folder / FACTS}: file_bytes is {facts.file_bytes}, expected {size}, the size of its device_files"
        )
    if facts.max_length is not None and TOKENIZER not in listed:
        raise UserError(f"{folder}: {HASHES} does not list {TOKENIZER}")


def _labels(folder: Path, facts: Facts) -> tuple[str, ...]:
    """`labels.json`: unique names, as many as the facts declare."""
    found = read_value(folder / LABELS)
    names = found if isinstance(found, list) else []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in names) or len({*names}) != len(names):
        raise UserError(f"{folder / LABELS}: is {shown(found)}, expected a list of unique names")
    if len(names) != facts.labels:
        raise UserError(f"{folder / FACTS}: labels is {facts.labels}, expected {len(names)}, as in {LABELS}")
    return tuple(names)


def _unlisted(folder: Path, listed: Mapping[str, str]) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for file in sorted([*files, *links]):
            name = (Path(place) / file).relative_to(folder).as_posix()
            if name not in listed and name not in (HASHES, RESULTS_FILE):
                yield name
