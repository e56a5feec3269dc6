"""What a tutorial says: `torch.onnx.export`, then `quantize_dynamic`, both with their defaults, but that batch and
length stay open and the weights are in the file.

    python -m bench.peers.plain_onnx MODEL OUT

The model is a transformers folder.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from bench.peers.made_files import MadeFile, write_made

SAMPLE = ["a text to trace the model with", "a shorter one"]


def main() -> None:
    import torch
    from onnxruntime.quantization import quantize_dynamic
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    sample = dict(AutoTokenizer.from_pretrained(folder)(SAMPLE, padding=True, return_tensors="pt"))
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        model,
        kwargs=sample,
        f=str(out / "model.onnx"),
        dynamic_shapes=dict.fromkeys(sample, axes),
        output_names=["logits"],
        external_data=False,
    )
    quantize_dynamic(out / "model.onnx", out / "model_int8.onnx")
    versions = {name: version(name) for name in ("torch", "transformers", "onnxruntime")}
    name = "torch.onnx.export"
    write_made(
        out,
        [
            MadeFile("c", name, "fp32", "onnxruntime", "model.onnx", versions),
            MadeFile("c", f"{name}, quantize_dynamic", "int8", "onnxruntime", "model_int8.onnx", versions),
        ],
    )


if __name__ == "__main__":
    main()
