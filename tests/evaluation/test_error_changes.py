from __future__ import annotations

import numpy as np

from edgedistill.evaluation.error_changes import error_changes


def test_each_kind_is_found_and_decisions_without_a_right_answer_do_not_count():
    found = error_changes(
        known=np.array([1, 1, 1, 1, 0], dtype=bool),
        before=np.array([0, 1, 0, 1, 0], dtype=bool),
        now=np.array([1, 0, 0, 1, 0], dtype=bool),
        as_teacher=np.array([1, 1, 0, 1, 1], dtype=bool),
    )
    assert found.corrected.tolist() == [0]
    assert found.introduced.tolist() == [1]
    assert found.inherited.tolist() == [1]
