"""The finished trials of a search, in a step's scratch folder: an interrupted search does not measure them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edgedistill.contracts.mix_search import Tried
from edgedistill.store.scratch import CHECKPOINT

_TRIED = TypeAdapter(Tried)


class FinishedTrials:
    """One file per mix in a folder that outlives the process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CHECKPOINT).touch()
        self._folder = folder

    def of(self, parts: Mapping[str, str]) -> Tried | None:
        """What was measured of a mix; None if it was not, or if its file is damaged."""
        try:
            return _TRIED.validate_json(self._file(parts).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def keep(self, parts: Mapping[str, str], seen: Tried) -> None:
        """Write the measurements of a mix, completely or not at all."""
        file = self._file(parts)
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(asdict(seen)), encoding="utf-8")
        os.replace(partial, file)

    def _file(self, parts: Mapping[str, str]) -> Path:
        named = json.dumps(dict(parts), sort_keys=True).encode()
        return self._folder / f"{hashlib.sha256(named).hexdigest()[:16]}.json"
