from __future__ import annotations

import json
from pathlib import Path

import pytest
from byte_pairs import byte_pairs

from bench.runtimes_of_language_models import Material
from edgedistill.vocabulary.token_bytes import byte_characters


def material(run: Path, strings: list[str], without: str = "") -> Material:
    """Of a student whose vocabulary lacks these bytes."""
    folder = run / "models" / "r1"
    folder.mkdir(parents=True)
    content = json.loads(byte_pairs().to_str())
    spelling = {byte: character for character, byte in byte_characters().items()}
    for byte in without.encode():
        del content["model"]["vocab"][spelling[byte]]
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return Material(run, "r1", strings, [], frozenset())


@pytest.mark.parametrize(("without", "spelled"), [("", [True, True, True]), ("\x04", [True, False, True])])
def test_strings_with_bytes_that_no_token_stands_for_are_counted_apart(
    tmp_path: Path, without: str, spelled: list[bool]
) -> None:
    assert material(tmp_path, ["a", "a\x04", "\U00040000"], without).spelled == spelled
