from __future__ import annotations

import pytest

from edgedistill.errors import UserError
from edgedistill.isolation import environments
from edgedistill.measuring.lone_request import LoneFile, refuse_request
from edgedistill.measuring.options import MeasureOptions


def test_a_folder_with_a_point_in_its_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "interpreter", lambda packages: None)
    folder, data = tmp_path / "qwen2.5-0.5b-genai", tmp_path / "test.jsonl"
    folder.mkdir()
    data.touch()
    (tmp_path / "model.onnx").touch()

    def refuse(name: str, runtime: str) -> None:
        options = MeasureOptions(runtime=runtime, task="text-generation", metric="perplexity")
        refuse_request(LoneFile(tmp_path / name, data, options))

    refuse(folder.name, "onnxruntime-genai")
    refuse("model.onnx", "onnxruntime")
    with pytest.raises(UserError, match=r"measure: 'qwen2.5-0.5b-genai' is not a file that llama-cpp opens \(\.gguf\)"):
        refuse(folder.name, "llama-cpp")
    with pytest.raises(UserError, match=r"'model\.onnx' is not a file that onnxruntime-genai opens \(a folder\)"):
        refuse("model.onnx", "onnxruntime-genai")
