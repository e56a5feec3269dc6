from __future__ import annotations

import numpy as np

from edgedistill.error_changes import error_changes


def test_each_kind_is_found_and_decisions_without_a_label_do_not_count():
    labels = np.array([0, 0, 0, 0, -1])
    before = np.array([1, 0, 1, 0, 1])
    own = np.array([0, 1, 2, 0, 0])
    teacher = np.array([0, 1, 1, 0, 0])
    found = error_changes(labels >= 0, before == labels, own == labels, own == teacher)
    assert found.corrected.tolist() == [0]
    assert found.introduced.tolist() == [1]
    assert found.inherited.tolist() == [1]
