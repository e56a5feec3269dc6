from __future__ import annotations

import pytest

from edgedistill.contracts import registry


@pytest.mark.parametrize(
    ("name", "is_folder", "runtimes"),
    [
        ("genai-int4", True, {"onnxruntime-genai"}),
        ("qwen2.5-0.5b-genai", True, {"onnxruntime-genai"}),
        ("model.gguf", True, {"onnxruntime-genai"}),
        ("model.gguf", False, {"llama-cpp"}),
        ("model", False, set()),
        ("qwen2.5-0.5b-genai", False, set()),
    ],
)
def test_a_folder_is_opened_whatever_its_name_and_a_file_by_its_suffix(tmp_path, name, is_folder, runtimes):
    place = tmp_path / name
    if is_folder:
        place.mkdir()
    else:
        place.touch()
    able = {runtime for runtime in registry.names("runtimes") if registry.runtime(runtime).opens(place)}
    assert able == runtimes
