from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from edgedistill.errors import DiskFullError
from edgedistill.signals.recorded import HiddenSignal, Shards, create, load_hidden, open_mapped
from edgedistill.signals.soft_targets import LogitSignal

LOGITS = np.arange(12, dtype=np.float32).reshape(6, 2)


def logits(values: np.ndarray) -> LogitSignal:
    return LogitSignal((Shards((values,)),))


def test_files_are_safetensors_and_map_back(tmp_path):
    create(tmp_path / "a.safetensors", {"values": LOGITS.shape}, {"values": "F32"})["values"][...] = LOGITS
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["values"], LOGITS)
    again = open_mapped(tmp_path / "a.safetensors")["values"]
    np.testing.assert_array_equal(again, LOGITS)
    assert isinstance(again, np.memmap)


@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5), data=st.data())
def test_shards_read_as_one_array(sizes, data):
    whole = np.arange(3.0 * sum(sizes)).reshape(-1, 3)
    shards = Shards(tuple(np.split(whole, np.cumsum(sizes)[:-1])))
    assert len(shards) == sum(sizes)
    np.testing.assert_array_equal(shards.every(), whole)
    numbers = np.array(data.draw(st.lists(st.integers(0, max(0, sum(sizes) - 1)), max_size=9 * bool(sum(sizes)))), int)
    np.testing.assert_array_equal(shards.rows(numbers), whole[numbers])


def test_hidden_states_of_several_files_are_those_of_all_their_items(tmp_path):
    states = np.arange(12, dtype=np.float16).reshape(6, 2)
    for name, rows, offsets in (("a", states[:4], [0, 3, 4]), ("b", states[4:], [0, 2])):
        tensors = create(tmp_path / name, {"1": rows.shape, "offsets": (len(offsets),)}, {"1": "F16", "offsets": "I64"})
        tensors["1"][...], tensors["offsets"][...] = rows, offsets
    signal = load_hidden([tmp_path / "a", tmp_path / "b"])
    padded = signal.padded(np.array([2, 1]), np.array([[1, 1], [1, 0]], bool))[1]
    assert padded.tolist() == [[[8, 9], [10, 11]], [[6, 7], [0, 0]]]


def test_tensors_are_written_in_place(tmp_path):
    tensors = create(tmp_path / "x.safetensors", {"3": (4, 2), "offsets": (2,)}, {"3": "F16", "offsets": "I64"})
    tensors["3"][2] = (1.5, -2)
    assert isinstance(tensors["3"], np.memmap)
    tensors["3"].flush()
    assert open_mapped(tmp_path / "x.safetensors")["3"].tolist() == [[0, 0], [0, 0], [1.5, -2], [0, 0]]


def test_logits_are_gathered_by_decision():
    assert logits(LOGITS).rows(np.array([4, 5, 0])).tolist() == [[8, 9], [10, 11], [0, 1]]


def test_several_teachers_are_the_geometric_mean_of_their_distributions():
    other = -3 * LOGITS + 1
    mean = LogitSignal((Shards((LOGITS,)), Shards((other,)))).rows(np.arange(4))

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(1, keepdims=True)

    product = np.sqrt(softmax(LOGITS[:4]) * softmax(other[:4]))
    np.testing.assert_allclose(softmax(mean), product / product.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize(
    ("real", "first"), [([1, 1, 0], [[6, 7], [8, 9], [0, 0]]), ([0, 1, 1], [[0, 0], [6, 7], [8, 9]])]
)
def test_hidden_states_stand_where_the_tokens_do_and_zeros_elsewhere(real, first):
    signal = HiddenSignal({2: Shards((np.arange(10, dtype=np.float16).reshape(5, 2),))}, np.array([0, 3, 5]))
    padded = signal.padded(np.array([1, 0]), np.array([real, [1, 1, 1]], bool))[2]
    assert padded.tolist() == [first, [[0, 1], [2, 3], [4, 5]]]


def test_room_is_set_aside_before_anything_is_mapped(tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        DiskFullError, match=r"x.safetensors needs 8.0 MB, [0-9.]+ MB are free; free some space and run"
    ):
        create(tmp_path / "x.safetensors", {"a": (1_000_000, 2)}, {"a": "F32"})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["function", "support"])
def test_a_file_system_that_cannot_set_room_aside_gets_zeros(tmp_path, monkeypatch, missing):
    def unsupported(descriptor, offset, size):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if missing == "function":
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", unsupported)
    create(tmp_path / "x.safetensors", {"a": (700_001, 2)}, {"a": "F32"})["a"][700_000] = 3
    file = tmp_path / "x.safetensors"
    assert file.stat().st_blocks * 512 >= 700_001 * 8
    stored = load_file(file)["a"]
    assert (stored[700_000] == 3).all()
    assert not stored[:700_000].any()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting needs the superuser")
def test_a_full_disk_is_a_sentence_and_no_signal_ends_the_process(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    code = (
        "import sys; from pathlib import Path; from edgedistill.signals.recorded import create\n"
        "from edgedistill.errors import DiskFullError\n"
        "try:\n    create(Path(sys.argv[1]), {'a': (1000, 1000)}, {'a': 'F32'})['a'][...] = 1\n"
        "except DiskFullError as error:\n    print(error)"
    )
    try:
        command = [sys.executable, "-c", code, str(disk / "a.safetensors")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "a.safetensors needs 4.0 MB, 1.0 MB are free" in done.stdout
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
