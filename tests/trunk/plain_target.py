"""A target for tests whose files are made and run in a moment: a BERT's weights in an `.npz`, run by numpy.

`int8` keeps the matrices in eight bits, so that its answers differ a little from the model's.
"""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.driver import Port, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import MadeFile, Target

PRECISIONS = {
    "fp32": Precision(file="model.npz", bytes_per_parameter=4.0),
    "int8": Precision(file="model_int8.npz", bytes_per_parameter=1.0),
}
PACKAGES = Packages(imports=("numpy",))


def make(request, file):
    model = request.model()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    if request.precision == "int8":
        weights = dict(part for name, value in weights.items() for part in _in_eight_bits(name, value))
    heads = np.array(model.config.num_attention_heads)
    with file.open("wb") as stream:
        np.savez(stream, heads=heads, **weights)
    return MadeFile()


TARGET = Target(api=1, version=1, precisions=PRECISIONS, runtimes=("plain-runtime",), packages=PACKAGES, make=make)


def _in_eight_bits(name, value):
    if value.ndim < 2:
        return [(name, value)]
    scale = np.abs(value).max() / 15  # four of the eight, in truth: the difference should be seen
    return [(name, np.round(value / scale).astype(np.int8)), (f"{name}.scale", np.float32(scale))]


class Graph:
    """A BERT for sequence classification with the activation `relu`, computed in float64."""

    inputs = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), Port("int64", (None, None)))
    outputs = {"logits": Port("float32", (None, None))}  # noqa: RUF012 - the protocol's attributes

    def __init__(self, file):
        stored = np.load(file)
        self.heads = int(stored["heads"])
        self.weights = {
            name: stored[name].astype(np.float64) * stored.get(f"{name}.scale", 1.0)
            for name in stored.files
            if not name.endswith(".scale") and name != "heads"
        }

    def run(self, feeds):
        ids, mask, kinds = feeds_of(self.inputs, feeds).values()
        embedded = "bert.embeddings"
        x = self.weights[f"{embedded}.word_embeddings.weight"][ids]
        x = x + self.weights[f"{embedded}.position_embeddings.weight"][: ids.shape[1]]
        x = self._norm(x + self.weights[f"{embedded}.token_type_embeddings.weight"][kinds], f"{embedded}.LayerNorm")
        for number in range(sum(name.endswith("attention.self.query.weight") for name in self.weights)):
            x = self._layer(x, mask, f"bert.encoder.layer.{number}")
        x = np.tanh(self._linear(x[:, 0], "bert.pooler.dense"))
        return {"logits": self._linear(x, "classifier").astype(np.float32)}

    def backend(self):
        return {"ran": "numpy"}

    def _layer(self, x, mask, at):
        items, length, width = x.shape
        query, key, value = (
            self._linear(x, f"{at}.attention.self.{name}").reshape(items, length, self.heads, -1).swapaxes(1, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(2, 3) / np.sqrt(width / self.heads)
        scores = np.where(mask[:, None, None, :] == 1, scores, -1e30)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True)) @ value
        seen = self._linear(seen.swapaxes(1, 2).reshape(items, length, width), f"{at}.attention.output.dense")
        x = self._norm(x + seen, f"{at}.attention.output.LayerNorm")
        inner = np.maximum(self._linear(x, f"{at}.intermediate.dense"), 0)
        return self._norm(x + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _linear(self, x, at):
        return x @ self.weights[f"{at}.weight"].T + self.weights[f"{at}.bias"]

    def _norm(self, x, at):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * self.weights[f"{at}.weight"] + self.weights[f"{at}.bias"]
