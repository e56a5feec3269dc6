"""What a bundle's folder holds, and whether it is still what it was. Needs neither torch nor pydantic: it is read on
the device's own machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.errors import EdgedistillError, UserError
from edgedistill.interfaces import MODEL_INPUTS
from edgedistill.model_files import Opened
from edgedistill.ragged import Ragged

BUNDLE_SCHEMA = "edgedistill/bundle/1"
GOLDEN_SCHEMA = "edgedistill/golden/1"
FACTS = "bundle.json"
GOLDEN = "golden.json"
HASHES = "sha256.txt"


@dataclass(frozen=True)
class Golden:
    """Real inputs, and the rows (R, C) that the verified file answered to each of them."""

    items: Sequence[Mapping[str, object]]
    """Each with `text` (what a person reads), the model's inputs by name, `rows`, and `labels` (R,)."""
    tolerance: float
    """Largest difference of one output from the expected one."""
    reason: str

    def ragged(self, pad_token: int) -> Ragged:
        """The inputs as the measuring process reads them."""
        names = [name for name in MODEL_INPUTS if name in self.items[0]]
        columns = {name: [np.asarray(item[name], dtype=np.int64) for item in self.items] for name in names}
        lengths = [len(each) for each in columns[names[0]]]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        values = {name: np.concatenate(each) for name, each in columns.items()}
        return Ragged(values, offsets, frozenset(names), pad_token)

    def rows(self, item: int) -> NDArray[np.float32]:
        """(R, C) expected rows of one item."""
        return np.asarray(self.items[item]["rows"], dtype=np.float32)


@dataclass(frozen=True)
class Bundle:
    """A bundle that lies on this machine."""

    folder: Path
    facts: Mapping[str, object]

    def text(self, key: str) -> str:
        """A fact that is a text or a number."""
        return str(self.facts[key])

    @property
    def opened(self) -> Opened:
        """What the runtime opens, by input length."""
        pairs = self.facts["opened"]
        assert isinstance(pairs, list)
        return {length: self.folder / name for length, name in pairs}

    @property
    def device_files(self) -> dict[str, str]:
        """Name inside the bundle and sha256 of each file that the device needs."""
        files = self.facts["device_files"]
        assert isinstance(files, dict)
        return files

    def golden(self) -> Golden:
        """The expected answers."""
        content = _json(self.folder / GOLDEN, GOLDEN_SCHEMA)
        items = content["items"]
        assert isinstance(items, list)
        return Golden(items, float(str(content["tolerance"])), str(content["tolerance_reason"]))


def is_bundle(folder: Path) -> bool:
    """Whether a path is meant as a bundle."""
    return (folder / FACTS).is_file()


def open_bundle(folder: Path) -> Bundle:
    """The bundle in a folder, once every file is what it was when the bundle was written.

    Raises:
        UserError: no bundle, or of another schema.
        EdgedistillError: a file is missing or changed.
    """
    if not is_bundle(folder):
        raise UserError(f"{folder}: is not a bundle, it has no {FACTS}")
    check_hashes(folder)
    return Bundle(folder, _json(folder / FACTS, BUNDLE_SCHEMA))


def write_hashes(folder: Path) -> None:
    """Write `sha256.txt`, as `sha256sum -c` reads it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != HASHES)
    lines = [f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in files]
    (folder / HASHES).write_text("".join(lines), encoding="utf-8")


def check_hashes(folder: Path) -> None:
    """Compare every file with `sha256.txt`.

    Raises:
        EdgedistillError: names the first file that is missing or has other bytes.
    """
    try:
        lines = (folder / HASHES).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise EdgedistillError(f"{folder}: {HASHES} is missing, so nothing vouches for the other files") from None
    listed = dict(line.split("  ", 1)[::-1] for line in lines if "  " in line)
    for name in (FACTS, GOLDEN):
        if name not in listed:
            raise EdgedistillError(f"{folder}: {HASHES} does not list {name}")
    for name, expected in listed.items():
        file = folder / name
        if not file.is_file():
            raise EdgedistillError(f"{folder}: {name} is missing, which {HASHES} lists")
        if sha256(file) != expected:
            raise EdgedistillError(f"{folder}: {name} has changed: its sha256 is not the one in {HASHES}")


def sha256(file: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _json(file: Path, schema: str) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())[:200]}") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != schema:
        raise UserError(f"{file}: schema is {found!r}, expected '{schema}'")
    return dict(content)
