"""optimum-onnx: exports a trained folder to ONNX and quantizes it with its configurations for AVX-512 VNNI and AVX2.
And sentence-transformers, where that is installed beside it.

    python -m bench.peers.optimum_files MODEL OUT

Runs in an environment of its own, without edgedistill. sentence-transformers reads the folder as a `CrossEncoder`, and
its `export_dynamic_quantized_onnx_model` asks optimum-onnx for the same configuration:
`AutoQuantizationConfig.avx512_vnni(is_static=False)`, per channel by default.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from bench.peers.made_files import MadeFile, write_made

PACKAGES = ("optimum-onnx", "transformers", "torch", "onnxruntime")


def main() -> None:
    model, out = Path(sys.argv[1]), Path(sys.argv[2])
    versions = {name: version(name) for name in PACKAGES}
    made = [
        MadeFile("a", f"optimum-onnx {name}".strip(), precision, "onnxruntime", str(file.relative_to(out)), versions)
        for name, precision, file in quantized(model, out)
    ]
    if find_spec("sentence_transformers") is not None:
        versions = versions | {"sentence-transformers": version("sentence-transformers")}
        file = by_sentence_transformers(model, out / "sentence-transformers").relative_to(out)
        made.append(MadeFile("b", "sentence-transformers avx512_vnni", "int8", "onnxruntime", str(file), versions))
    write_made(out, made)


def quantized(model: Path, out: Path) -> list[tuple[str, str, Path]]:
    """Name, precision and file: fp32 as exported, and both int8."""
    from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    exported = ORTModelForSequenceClassification.from_pretrained(model, export=True)
    exported.save_pretrained(out / "fp32")
    found = [("", "fp32", out / "fp32" / "model.onnx")]
    for name in ("avx512_vnni", "avx2"):
        configuration = getattr(AutoQuantizationConfig, name)(is_static=False, per_channel=True)
        ORTQuantizer.from_pretrained(out / "fp32").quantize(configuration, out / name)
        found.append((name, "int8", out / name / "model_quantized.onnx"))
    return found


def by_sentence_transformers(model: Path, out: Path) -> Path:
    """Its dynamic int8 for AVX-512 VNNI."""
    from sentence_transformers import CrossEncoder, export_dynamic_quantized_onnx_model

    opened = CrossEncoder(str(model), backend="onnx", model_kwargs={"export": True})
    export_dynamic_quantized_onnx_model(opened, "avx512_vnni", str(out))
    return next(out.rglob("*qint8_avx512_vnni.onnx"))


if __name__ == "__main__":
    main()
