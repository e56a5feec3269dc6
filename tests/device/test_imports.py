"""What runs on a device is numpy's alone: another interpreter may have nothing else."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import edgedistill.device
import edgedistill.tasks

HEAVY = ("torch", "transformers", "datasets", "pydantic", "scipy", "onnx")
MODULES = [
    *(module.name for module in pkgutil.iter_modules(edgedistill.device.__path__, "edgedistill.device.")),
    *(
        module.name
        for module in pkgutil.iter_modules(edgedistill.tasks.__path__, "edgedistill.tasks.")
        if module.name.endswith("_device")
    ),
    "edgedistill.measuring.worker",
]


@pytest.mark.parametrize("module", MODULES)
def test_importing_it_loads_numpy_and_nothing_heavier(module):
    program = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_there_is_something_to_import():
    assert "edgedistill.device.graphs" in MODULES
    assert "edgedistill.tasks._classification_device" in MODULES
