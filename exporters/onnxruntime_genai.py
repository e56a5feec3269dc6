"""A folder for ONNX Runtime GenAI from its own model builder: graph, weights, `genai_config.json` and tokenizer.

Weights are in blocks of 32, symmetric, rounded to nearest. In int8 the builder leaves tables in fp32 and stores a tied
one twice; in int4 it stores it once. What is tied is what the weights are, whatever the configuration says.

The builder's attention only supports head sizes that are multiples of 16. For other models, the folder has the fp32
graph of target `onnx`, with settings for its names.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.exporting.jobs import refuse_components
from edgedistill.runtimes import onnxruntime_genai as runtime
from edgedistill.system import process
from edgedistill_exporters.causal import compare, refuse_others, tie
from edgedistill_exporters.causal_onnx import graph_of
from edgedistill_exporters.genai_settings import copy_tokenizer, write_settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

PRECISIONS = {
    "fp32": Precision(file="genai-fp32", bytes_per_parameter=4.0),
    "int8": Precision(file="genai-int8", bytes_per_parameter=1.2),
    "int4": Precision(file="genai-int4", bytes_per_parameter=0.65),
}
_GRAPH = "model.onnx"
_CONFIG, _TIED = "config.json", "tie_word_embeddings"
_HEAD = 16
"""Head sizes must be a multiple of this."""


def make(request: FileRequest, file: Path) -> MadeFile:
    """Run the builder; fp32 is compared with PyTorch.

    Raises:
        RefusedError: a model that the builder or its attention does not support.
        EdgedistillError: the builder failed, or the file differs from PyTorch.
    """
    refuse_components(request, "onnxruntime-genai")
    refuse_others(request, "onnxruntime-genai")
    assert request.folder is not None, "the model was read from a folder"
    config = request.model().config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    own = bool(size % _HEAD)
    if own and request.precision != "fp32":
        raise RefusedError(
            f"target onnxruntime-genai: its builder needs a head size that is a multiple of {_HEAD}, the model's is "
            f"{size}; expected fp32"
        )
    if own:
        _write(request, request.folder, file)
    else:
        with _told_of_tying(request.folder, config, tie(request.model())) as source:
            _build(source, file, request.precision)
    if request.precision != "fp32":
        return MadeFile()
    opened = runtime.open(file, 1, PortNames())
    checks = compare(request, "onnxruntime-genai", opened, batches=False)
    return MadeFile(checks=checks, facts={"graph": "of target onnx" if own else "of its builder"})


def _write(request: FileRequest, model: Path, folder: Path) -> None:
    """The graph of target `onnx`, in the library's layout."""
    import onnx_ir

    folder.mkdir()
    graph = graph_of(request)
    onnx_ir.save(graph, folder / _GRAPH, external_data=f"{_GRAPH}.data")
    inputs = [str(value.name) for value in graph.graph.inputs]
    write_settings(request.model().config, inputs, _GRAPH, folder)
    copy_tokenizer(model, folder)


def _build(model: Path, folder: Path, precision: str) -> None:
    words = ["-m", str(model), "-o", str(folder), "-p", precision, "-e", "cpu"]
    with tempfile.TemporaryDirectory() as cache:
        command = process.python(Path(sys.executable), "-m", "onnxruntime_genai.models.builder", *words, "-c", cache)
        environment = process.environment() | {"HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit {done.returncode}")
    if said.startswith("NotImplementedError"):
        raise RefusedError(f"target onnxruntime-genai: its builder does not support this model: {said[:300]}")
    raise EdgedistillError(f"target onnxruntime-genai: its builder failed: {said[:300]}")


@contextmanager
def _told_of_tying(model: Path, config: PreTrainedConfig, tied: bool) -> Iterator[Path]:
    """A model's folder whose configuration says whether the weights are tied: the builder takes the head for the token
    table if it says so, and stores both if not, whatever the weights are."""
    if bool(getattr(config, _TIED, False)) == tied:
        yield model
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for path in model.iterdir():
            (folder / path.name).symlink_to(path.resolve())
        description = json.loads((model / _CONFIG).read_text(encoding="utf-8"))
        (folder / _CONFIG).unlink()
        (folder / _CONFIG).write_text(json.dumps({**description, _TIED: tied}), encoding="utf-8")
        yield folder


TARGET = Target(
    api=1,
    version=4,
    precisions=PRECISIONS,
    runtimes=("onnxruntime-genai",),
    packages=Packages(
        imports=("onnxruntime_genai",),
        requirements=(
            "torch",
            "transformers",
            "onnx>=1.23",
            "onnx-ir>=1.1",
            "onnxscript>=0.7.2",
            "onnxruntime>=1.32",
            "onnxruntime-genai>=0.18",
        ),
        environment="onnxruntime-genai",
    ),
    make=make,
    holds_tokenizer=True,
    isolated=True,
)
