"""optimum's `ORTModelForCausalLM` on a file of ours, unchanged.

optimum-onnx needs an older transformers, so it is in an environment of its own, whose interpreter is in
`OPTIMUM_PYTHON` (as `--optimum` of `bench/quantize_peers.py`).
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from language_models import causal_request, greedy_of_torch, tiny

from edgedistill.contracts import registry

PYTHON = os.environ.get("OPTIMUM_PYTHON")
PROMPT, COUNT = [1, 5, 9, 30], 24
SCRIPT = """
import json, sys, torch
from optimum.onnxruntime import ORTModelForCausalLM

folder, prompt, count = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
model = ORTModelForCausalLM.from_pretrained(folder)
model.generation_config.eos_token_id = None
given = torch.tensor([prompt])
said = model.generate(
    given, attention_mask=torch.ones_like(given), max_new_tokens=count, do_sample=False, pad_token_id=0
)
print(json.dumps(said[0, len(prompt):].tolist()))
"""


@pytest.mark.skipif(PYTHON is None, reason="OPTIMUM_PYTHON names no interpreter with optimum-onnx")
def test_it_goes_on_as_torch_does_where_the_heads_are_as_wide_as_the_model(tmp_path):
    model = tiny(hidden_size=64, num_attention_heads=4)
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    registry.target("onnx").make(causal_request(model), tmp_path / "model.onnx")
    command = [PYTHON, "-c", SCRIPT, str(tmp_path), json.dumps(PROMPT), str(COUNT)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert json.loads(done.stdout.splitlines()[-1]) == greedy_of_torch(model, PROMPT, COUNT)
