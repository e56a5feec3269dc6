from __future__ import annotations

import numpy as np
from safetensors.numpy import load_file

from edgedistill.interfaces import Rows
from edgedistill.signals import HiddenSignal, LogitSignal, create, load_rows, open_mapped, save_rows

ROWS = Rows(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 1, 4, 6]))


def test_files_are_safetensors_and_map_back(tmp_path):
    save_rows(ROWS, tmp_path / "rows.safetensors")
    stored = load_file(tmp_path / "rows.safetensors")
    np.testing.assert_array_equal(stored["values"], ROWS.values)
    again = load_rows(tmp_path / "rows.safetensors")
    np.testing.assert_array_equal(again.values, ROWS.values)
    assert len(again) == 3
    assert isinstance(again.values, np.memmap)


def test_tensors_are_written_in_place(tmp_path):
    tensors = create(tmp_path / "x.safetensors", {"3": (4, 2), "offsets": (2,)}, {"3": "F16", "offsets": "I64"})
    tensors["3"][2] = (1.5, -2)
    tensors["3"].flush()
    assert open_mapped(tmp_path / "x.safetensors")["3"].tolist() == [[0, 0], [0, 0], [1.5, -2], [0, 0]]


def test_rows_are_gathered_by_item():
    assert LogitSignal((ROWS,)).rows([2, 0]).tolist() == [[8, 9], [10, 11], [0, 1]]


def test_several_teachers_are_the_geometric_mean_of_their_distributions():
    other = Rows(-3 * ROWS.values + 1, ROWS.offsets)
    mean = LogitSignal((ROWS, other)).rows([0, 1])

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(1, keepdims=True)

    product = np.sqrt(softmax(ROWS.values[:4]) * softmax(other.values[:4]))
    np.testing.assert_allclose(softmax(mean), product / product.sum(1, keepdims=True), rtol=1e-5)


def test_hidden_states_are_padded_with_zeros():
    signal = HiddenSignal({2: np.arange(10, dtype=np.float16).reshape(5, 2)}, np.array([0, 3, 5]))
    padded = signal.padded([1, 0], 3)[2]
    assert padded.tolist() == [[[6, 7], [8, 9], [0, 0]], [[0, 1], [2, 3], [4, 5]]]
