"""A BERT classifier whose layers differ in their numbers of attention heads and feed-forward neurons.

Its weights have BERT's names with fewer rows and columns. It is a `transformers` model: importing this module registers
it with the auto classes.
"""

from __future__ import annotations

from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
)
from transformers.models.bert.modeling_bert import BertLayer


class PrunedBertConfig(BertConfig):
    """BERT's configuration with the heads and neurons of each layer; heads keep the size `hidden_size /
    num_attention_heads`."""

    model_type = "edgedistill-pruned-bert"

    heads_by_layer: list[int] | tuple[int, ...] = ()
    neurons_by_layer: list[int] | tuple[int, ...] = ()

    def __post_init__(self, **more: object) -> None:
        super().__post_init__(**more)
        self.heads_by_layer = list(self.heads_by_layer) or [self.num_attention_heads] * self.num_hidden_layers
        self.neurons_by_layer = list(self.neurons_by_layer) or [self.intermediate_size] * self.num_hidden_layers


class PrunedBertForSequenceClassification(BertForSequenceClassification):
    """BERT's forward pass, attention implementations and outputs; only the projections of each layer are smaller."""

    config_class = PrunedBertConfig

    def __init__(self, config: PrunedBertConfig) -> None:
        super().__init__(config)
        sizes = zip(self.bert.encoder.layer, config.heads_by_layer, config.neurons_by_layer, strict=True)
        for layer, heads, neurons in sizes:
            _resize(layer, heads, neurons)
        self.post_init()


def as_stock(model: PreTrainedModel) -> PreTrainedModel:
    """The same model as a plain BERT, which any client can load, if possible: with all heads and equal numbers of
    neurons per layer. Otherwise the model itself, since BERT's configuration ties the head size to the number of
    heads."""
    config = model.config
    if not isinstance(model, PrunedBertForSequenceClassification):
        return model
    if set(config.heads_by_layer) != {config.num_attention_heads} or len(set(config.neurons_by_layer)) != 1:
        return model
    own = ("model_type", "architectures", "heads_by_layer", "neurons_by_layer")
    same = {key: value for key, value in config.to_dict().items() if key not in own}
    stock = BertForSequenceClassification(BertConfig(**same | {"intermediate_size": config.neurons_by_layer[0]}))
    stock.load_state_dict(model.state_dict())
    return stock.train(model.training)


def _resize(layer: BertLayer, heads: int, neurons: int) -> None:
    """Give a layer new projections of these sizes."""
    attention = layer.attention.self
    hidden, width = attention.query.in_features, heads * attention.attention_head_size
    attention.num_attention_heads, attention.all_head_size = heads, width
    attention.query, attention.key, attention.value = (nn.Linear(hidden, width) for _ in range(3))
    layer.attention.output.dense = nn.Linear(width, hidden)
    layer.intermediate.dense = nn.Linear(hidden, neurons)
    layer.output.dense = nn.Linear(neurons, hidden)


AutoConfig.register(PrunedBertConfig.model_type, PrunedBertConfig)
AutoModelForSequenceClassification.register(PrunedBertConfig, PrunedBertForSequenceClassification)
