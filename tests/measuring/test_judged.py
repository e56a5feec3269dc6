from __future__ import annotations

import numpy as np
import pytest

from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.items import Column, Items
from edgedistill.errors import EdgedistillError
from edgedistill.measuring.judged import EvaluationSet, fidelity_figures, flips, judged, numbers, some_examples
from edgedistill.store.records.files import FidelityFigures, Flip
from edgedistill.tasks._classification_judge import JUDGE


def answers(values, item=None) -> Answers:
    own = np.arange(len(values)) if item is None else np.array(item)
    return Answers({"logits": np.array(values, np.float32)}, own, own // 2)


def references(classes) -> References:
    given = np.array(classes)
    return References({"class": given}, np.arange(len(given)), np.arange(len(given)) // 2, given >= 0)


def items(examples) -> Items:
    return Items.of({"x": Column("input", "scalar")}, {"x": np.arange(len(examples))}, examples)


def compared(device, torch_rows):
    asked = EvaluationSet(items(range(len(torch_rows))), expected=answers(torch_rows))
    return judged(JUDGE, answers(device), asked)


def test_equal_files_agree_wholly():
    same = [[1, 2], [3, 0]]
    assert fidelity_figures(compared(same, same)) == FidelityFigures(
        agreement=1.0, max_abs_diff=0.0, mean_abs_diff=0.0, mean_divergence=0.0, max_divergence=0.0
    )


def test_each_figure_is_what_it_says():
    facts = fidelity_figures(compared([[1.0, 2.0], [0.0, 4.0]], [[1.0, 2.5], [3.0, 0.0]]))
    assert facts.agreement == 0.5
    assert facts.max_abs_diff == 4.0
    assert facts.mean_abs_diff == pytest.approx((0 + 0.5 + 3 + 4) / 4)
    p, q = np.exp([3.0, 0.0]) / np.exp([3.0, 0.0]).sum(), np.exp([0.0, 4.0]) / np.exp([0.0, 4.0]).sum()
    assert facts.max_divergence == pytest.approx((p * np.log(p / q)).sum(), rel=1e-5)


def test_outputs_that_are_no_numbers_or_of_another_shape_are_refused():
    with pytest.raises(EdgedistillError, match="1 NaN or infinite logits"):
        compared([[1.0, np.nan]], [[1.0, 2.0]])
    with pytest.raises(EdgedistillError, match=r"\(1, 2\)"):
        compared([[1, 2]], [[1, 2, 3]])


def test_items_that_were_chosen_are_judged_by_their_own_references_and_answers():
    whole = answers([[1, 0], [0, 1], [1, 0], [0, 1]])
    asked = EvaluationSet(items(range(4)), np.array([1, 3]), references([0, 0, 0, 1]), whole)
    found = judged(JUDGE, answers([[0, 1], [1, 0]], [1, 3]), asked)
    assert found.figures["accuracy"] == 0.0
    assert found.fidelity.agree.tolist() == [True, False]
    assert found.references.item.tolist() == found.expected.item.tolist() == [1, 3]


def test_without_right_answers_there_are_no_figures():
    asked = EvaluationSet(items(range(2)), references=references([-1, -1]))
    assert judged(JUDGE, answers([[1, 0], [0, 1]]), asked).figures == {}
    assert judged(JUDGE, answers([[1, 0]]), EvaluationSet(items(range(1)))).fidelity is None


def test_flips_are_told_as_a_person_reads_them():
    asked = EvaluationSet(
        items(range(3)), references=references([1, -1, 0]), expected=answers([[1, 0], [0, 1], [1, 0]])
    )
    found = judged(JUDGE, answers([[0, 1], [1, 0], [1, 0]]), asked)
    assert flips(JUDGE, found, ["no", "yes"], lambda example: f"text {example}") == (
        Flip(text="text 0", reference="yes", model="no", device="yes"),
        Flip(text="text 0", reference="", model="yes", device="no"),
    )


def test_examples_are_taken_whole():
    assert some_examples(items([0, 0, 1, 3, 3, 3, 4]), 2).tolist() == [0, 1, 6]
    assert some_examples(items([0, 0, 2]), None).tolist() == [0, 1, 2]


def test_whole_numbers_are_no_measure_of_difference():
    values = {"ids": np.array([[5, 6]]), "log_p": np.array([[0.5, 0.25]]), "rest": np.array([0.1])}
    assert numbers(Answers(values, np.array([0]), np.array([0]))).tolist() == [[0.5, 0.25, 0.1]]
