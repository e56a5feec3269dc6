from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import record_of

import edgedistill
from edgedistill.contracts.answers import Answers
from edgedistill.measuring.device_model import Opened
from edgedistill.store.records.files import Verified


def test_flipped_items_are_listed_with_their_texts(finished_run):
    found = 0
    for row in finished_run.results.candidates:
        facts = record_of(Verified, finished_run.artifact(f"verify-{row.id.replace('/', '-')}"))
        assert len(facts.flips) == round((1 - facts.fidelity.agreement) * 36)
        assert len(finished_run.results.flips[row.id]) == len(facts.flips)
        for flip in facts.flips:
            found += 1
            assert flip.model != flip.device
            assert flip.text
    assert found or all(row.agreement_with_student == 1 for row in finished_run.results.candidates)


def test_a_file_is_judged_by_its_own_answers(finished_run, tmp_path, monkeypatch):
    """A file that says the opposite of its torch model has the accuracy of what it says, not that of the model."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder, symlinks=True)
    name = f"verify-{finished_run.results.candidates[0].id.replace('/', '-')}"
    before = record_of(Verified, finished_run.artifact(name)).value
    shutil.rmtree(folder / "artifacts" / finished_run.artifact(name).resolve().name)
    own = Opened.answers

    def opposite(self, items, chosen=None, batch=1):
        found = own(self, items, chosen, batch)
        return replace(found, values={"logits": -np.asarray(found.values["logits"], np.float32)})

    monkeypatch.setattr(Opened, "answers", opposite)
    edgedistill.run(finished_run.recipe, out=folder)
    verified = next(folder.glob(f"steps/[0-9][0-9]-{name}"))
    found = record_of(Verified, verified)
    labels = [
        finished_run.data().labels.index(label) for label in finished_run.data("validation").rows("validation")["label"]
    ]
    said = np.asarray(Answers.open(verified / found.answers).values["logits"]).argmax(-1)
    assert found.value == pytest.approx((said == labels).mean())
    assert abs(found.value - before) > 0.1
