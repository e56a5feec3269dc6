"""Texts for telling whether two tokenizers read alike."""

from __future__ import annotations

from edgedistill.vocabulary.agreement import PROBES
from edgedistill.vocabulary.probe_texts import probe_texts, single_bytes

TEXTS = [" ".join(f"{name}{number} sat" for number in range(300)) for name in ("cat", "Fuß")]


def test_there_are_so_many_the_same_every_time():
    found = probe_texts(TEXTS, 500)
    assert len(found) == 500
    assert found == probe_texts(TEXTS, 500)
    assert found[: len(PROBES)] == list(PROBES)
    assert len(set(found)) == 500


def test_half_of_them_are_of_the_data_most_as_they_stand_there():
    found = probe_texts(TEXTS, 1000)
    pieces = [text for text in found if any(text in whole for whole in TEXTS)]
    assert 300 < len(pieces) < 450
    assert any(len(text) > 20 for text in pieces)


def test_they_are_of_many_scripts_and_all_can_be_written():
    letters = set("".join(probe_texts(TEXTS, 2000)))
    for lowest, highest in ((0x370, 0x530), (0x4E00, 0x9FFF), (0x1F300, 0x1FB00), (0x900, 0xE80)):
        assert sum(lowest <= ord(letter) < highest for letter in letters) > 50
    "".join(letters).encode()  # no half of a surrogate pair


def test_without_data_they_are_made_up():
    assert len(probe_texts([], 100)) == 100


def test_single_bytes_are_all_256():
    assert [ord(text) for text in single_bytes()] == list(range(256))
