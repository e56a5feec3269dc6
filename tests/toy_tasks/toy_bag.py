"""A target of models in two components, and its runtime, for tests: what a model of token vectors and a linear head
computes, in numpy. The first component leaves the vectors that it has read as a cache, and the second adds one."""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.driver import Port, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.runtime import Runtime
from edgedistill.contracts.target import MadeFile, Target
from edgedistill.errors import RefusedError

_TYPES = {"fp32": "float32", "fp16": "float16"}


def make(request, file):
    """Write the weights of a component in the precision's type."""
    from safetensors.numpy import save_file

    model = request.model()
    if model.config.model_type != "edgedistill-static" or model.config.head_size:
        raise RefusedError(f"target bag: '{model.config.model_type}' is no bag of token vectors under a linear head")
    weights = {
        "vectors": model.embeddings.weight,
        "weight": model.classifier.weight,
        "bias": model.classifier.bias,
    }
    arrays = {name: weight.detach().numpy().astype(_TYPES[request.precision]) for name, weight in weights.items()}
    save_file(arrays, file, metadata={"component": request.component})
    return MadeFile(facts={"component": request.component})


TARGET = Target(
    api=1,
    version=1,
    precisions={
        name: Precision(file=f"model-{name}.bag", bytes_per_parameter=size) for name, size in (("fp32", 8), ("fp16", 4))
    },
    runtimes=("bag",),
    packages=Packages(imports=("numpy",)),
    make=make,
)


class _Component:
    def __init__(self, arrays, inputs):
        self._arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        width, classes = arrays["vectors"].shape[1], arrays["weight"].shape[0]
        cache = Port("float32", (None, None, width + 1))
        self.inputs = {**inputs, **({"cache": cache} if "token" in inputs else {})}
        self.outputs = {"logits": Port("float32", (None, classes)), "cache": cache}

    def read(self, ids, mask):
        """(B, T, H + 1) the vectors of tokens, and whether they count."""
        mask = mask[..., None].astype(np.float32)
        return np.concatenate([self._arrays["vectors"][ids] * mask, mask], axis=2)

    def given(self, cache):
        sums = cache.sum(axis=1)
        mean = sums[:, :-1] / np.maximum(sums[:, -1:], 1)
        return {"logits": mean @ self._arrays["weight"].T + self._arrays["bias"], "cache": cache}

    def backend(self):
        return {"ran": type(self).__name__}


class Prefill(_Component):
    def run(self, feeds):
        given = feeds_of(self.inputs, feeds)
        return self.given(self.read(given["input_ids"], given["attention_mask"]))


class Decode(_Component):
    def run(self, feeds):
        given = feeds_of(self.inputs, feeds)
        return self.given(np.concatenate([given["cache"], self.read(given["token"], np.ones_like(given["token"]))], 1))


def open(file, threads, names):
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as stored:
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        component = stored.metadata()["component"]
    tokens = Port("int64", (None, None))
    if component == "prefill":
        return Prefill(arrays, {"input_ids": tokens, "attention_mask": tokens})
    return Decode(arrays, {"token": tokens})


RUNTIME = Runtime(
    api=1,
    targets=("bag",),
    suffixes=(".bag",),
    packages=Packages(imports=("numpy",)),
    open=open,
    version=lambda: "1",
)
