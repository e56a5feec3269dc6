from __future__ import annotations

import json
import shutil

import pytest

from edgedistill.bundling.layout import write_hashes


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
