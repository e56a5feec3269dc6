from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edgedistill.bundling.layout import write_hashes
from edgedistill.contracts.answers import Answers


@pytest.fixture
def bundle(finished_run, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(finished_run.folder / "bundle", tmp_path / "bundle")


@pytest.fixture
def change(bundle):
    """Change a JSON file of the bundle and vouch for it, as someone who made a wrong bundle would."""

    def apply(name, **values):
        file = bundle / name
        content = json.loads(file.read_text())
        file.unlink()  # it may share its bytes with the run's
        file.write_text(json.dumps(content | values))
        write_hashes(bundle)
        return bundle

    return apply


@pytest.fixture
def change_answers(bundle):
    """Change the expected logits of the bundle and vouch for them."""

    def apply(edit):
        file = bundle / "golden-answers.safetensors"
        answers = Answers.open(file)
        logits = np.array(answers.values["logits"])
        edit(logits)
        file.unlink()
        replace(answers, values={"logits": logits}).save(file)
        write_hashes(bundle)
        return bundle

    return apply
