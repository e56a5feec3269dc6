"""OpenVINO's converter, and NNCF's int8 for transformers, calibrated on given texts.

    python -m bench.peers.nncf_files MODEL OUT TEXTS

TEXTS is a jsonl file with `text`. OpenVINO runs both as it comes: where the processor has bf16, what is not int8 is
computed in that.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

from bench.peers.asking import OPENVINO_AS_IT_COMES
from bench.peers.made_files import MadeFile, write_made

CALIBRATED_ON = 256
LONGEST = 128


def main() -> None:
    import nncf
    import openvino
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, out, texts = (Path(word) for word in sys.argv[1:])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    lines = texts.read_text(encoding="utf-8").splitlines()
    chosen = [json.loads(lines[i * len(lines) // CALIBRATED_ON])["text"] for i in range(CALIBRATED_ON)]
    items = [dict(tokenizer(text, truncation=True, max_length=LONGEST, return_tensors="np")) for text in chosen]
    sample = dict(tokenizer(chosen[:2], padding=True, return_tensors="pt"))
    converted = openvino.convert_model(model, example_input=sample)
    openvino.save_model(converted, out / "model.xml", compress_to_fp16=False)
    quantized = nncf.quantize(converted, nncf.Dataset(items), model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(quantized, out / "model_int8.xml", compress_to_fp16=False)
    versions = {name: version(name) for name in ("openvino", "nncf", "torch", "transformers")}
    write_made(
        out,
        [
            MadeFile("d", "OpenVINO", "fp32", OPENVINO_AS_IT_COMES, "model.xml", versions),
            MadeFile("d", "OpenVINO, NNCF", "int8", OPENVINO_AS_IT_COMES, "model_int8.xml", versions),
        ],
    )


if __name__ == "__main__":
    main()
