"""Sizes of a transformer without building it: parameters from the few numbers of its `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

_SYNONYMS = {
    "layers": ("num_hidden_layers", "n_layers", "n_layer"),
    "hidden_size": ("hidden_size", "dim", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_heads", "n_head"),
    "intermediate_size": ("intermediate_size", "hidden_dim"),
    "vocabulary": ("vocab_size",),
    "positions": ("max_position_embeddings",),
}
# Token types, and the dense layers of width H x H between the encoder and the classifier.
_ENCODERS = {
    "bert": (2, 1),
    "roberta": (1, 1),
    "xlm-roberta": (1, 1),
    "camembert": (1, 1),
    "distilbert": (0, 1),
    "mpnet": (0, 1),
    "electra": (2, 1),
}


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide a model's parameters; `labels` is the width of the classifier."""

    architecture: str
    layers: int
    hidden_size: int
    heads: int
    intermediate_size: int
    vocabulary: int
    positions: int
    token_types: int
    labels: int
    embedding_size: int | None = None
    """Width of the embeddings where they are projected to the hidden size (ELECTRA); None: the hidden size."""
    pruned_to: int | None = None
    """A number of parameters that layers of unequal sizes are pruned to."""

    @classmethod
    def from_config(cls, config: Mapping[str, object], labels: int) -> ModelShape | None:
        """The shape in a `config.json`; None when a size isn't there under a name known here."""
        sizes: dict[str, int] = {}
        for name, synonyms in _SYNONYMS.items():
            values = [config[key] for key in synonyms if isinstance(config.get(key), int)]
            if not values:
                return None
            sizes[name] = int(str(values[0]))
        architecture = str(config.get("model_type"))
        types = config.get("type_vocab_size", _ENCODERS.get(architecture, (0, 0))[0])
        token_types = 0 if architecture in ("distilbert", "mpnet") else int(str(types))
        embedding = config.get("embedding_size")
        embedding_size = embedding if isinstance(embedding, int) and embedding != sizes["hidden_size"] else None
        return cls(architecture, token_types=token_types, labels=labels, embedding_size=embedding_size, **sizes)

    def resized(
        self,
        layers: int | None = None,
        hidden_size: int | None = None,
        heads: int | None = None,
        intermediate_size: int | None = None,
    ) -> ModelShape:
        """This shape with other sizes; the feed-forward width follows the hidden size unless it is given."""
        ratio = (hidden_size or self.hidden_size) / self.hidden_size
        return replace(
            self,
            layers=layers or self.layers,
            hidden_size=hidden_size or self.hidden_size,
            heads=heads or max(1, round(self.heads * ratio)),
            intermediate_size=intermediate_size or round(self.intermediate_size * ratio),
            pruned_to=None,
        )

    def parameters(self) -> int | None:
        """Parameters of the sequence classifier, exact for the encoders known here; None for another architecture.

        Of a pruned model it is what it was pruned to: at most one head or neuron more than it has.
        """
        if self.pruned_to is not None:
            return self.pruned_to
        if self.architecture not in _ENCODERS:
            return None
        h, i = self.hidden_size, self.intermediate_size
        e = self.embedding_size or h
        embeddings = (self.vocabulary + self.positions + self.token_types) * e + 2 * e
        projection = e * h + h if e != h else 0
        attention = 4 * (h * h + h) + 2 * h
        feed_forward = (h * i + i) + (i * h + h) + 2 * h
        relative_bias = 32 * self.heads if self.architecture == "mpnet" else 0
        head = _ENCODERS[self.architecture][1] * (h * h + h) + h * self.labels + self.labels
        return embeddings + projection + relative_bias + self.layers * (attention + feed_forward) + head
