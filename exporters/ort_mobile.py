"""ORT format with ONNX Runtime's converter, for reduced builds of ONNX Runtime on phones. Every precision is made from
the ONNX file of that precision, optimized in advance, since reduced builds have no optimizer."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.system.quiet import quiet
from edgedistill_exporters import onnx
from edgedistill_exporters.reduced_build import sizes

PRECISIONS = {
    name: Precision(
        file=str(Path(source.file).with_suffix(".ort")),
        bytes_per_parameter=source.bytes_per_parameter,
        made_of=("onnx", name),
    )
    for name, source in onnx.PRECISIONS.items()
}


def make(request: FileRequest, file: Path) -> MadeFile:
    """Convert, and write beside it the configuration of a build with only this file's operators and types
    (`tools/ci_build/build.py --include_ops_by_config FILE --enable_reduced_operator_type_support --minimal_build`).

    The size of that build is estimated from our own builds; it differs between compilers.
    """
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    assert request.source is not None, "every precision is made of an ONNX file"
    with tempfile.TemporaryDirectory() as folder, quiet():
        convert_onnx_models_to_ort(
            request.source,
            output_dir=Path(folder),
            optimization_styles=[OptimizationStyle.Fixed],
            enable_type_reduction=True,
        )
        (made,) = Path(folder).glob("*.ort")
        (written,) = Path(folder).glob("*.config")
        configuration = file.with_name(f"{file.stem}.required_operators_and_types.config")
        shutil.move(made, file)
        shutil.move(written, configuration)
    operators = required_operators(configuration.read_text(encoding="utf-8"))
    return MadeFile(
        build_files=(configuration.name,),
        facts={"required_operators": operators, "runtime_size": asdict(sizes().runtime(operators))},
    )


def required_operators(configuration: str) -> dict[str, list[str]]:
    """Operators by domain, from the configuration's lines `domain;opset;Operator{types},Operator,...`."""
    found: dict[str, list[str]] = {}
    for line in configuration.splitlines():
        if line.startswith(("#", "!")) or line.count(";") != 2:
            continue
        domain, _, operators = line.split(";")
        found.setdefault(domain, []).extend(_without_types(operators).split(","))
    return {domain: sorted(set(names)) for domain, names in found.items()}


def _without_types(operators: str) -> str:
    """`Add{"inputs": {"0": ["float"]}},Cast` without the (possibly nested) braces."""
    while (shorter := re.sub(r"\{[^{}]*\}", "", operators)) != operators:
        operators = shorter
    return operators


TARGET = Target(
    api=1,
    version=2,
    precisions=PRECISIONS,
    runtimes=("onnxruntime",),
    packages=Packages(
        imports=("onnxruntime", "flatbuffers"),
        requirements=("onnxruntime>=1.32", "flatbuffers>=25"),
        environment="ort-mobile",
    ),
    make=make,
)
