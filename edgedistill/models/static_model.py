"""A classifier without layers: the mean of token vectors, then a small head. The smallest and fastest of all students.

It is a `transformers` model: importing this module registers it with the auto classes.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from edgedistill.contracts.loss import pooled


class StaticConfig(PreTrainedConfig):
    """`vocab_size` token vectors of `hidden_size`, and a head with `head_size` hidden units (0: linear)."""

    model_type = "edgedistill-static"

    def __init__(self, vocab_size: int = 1000, hidden_size: int = 64, head_size: int = 0, **more: object) -> None:
        self.vocab_size, self.hidden_size, self.head_size = vocab_size, hidden_size, head_size
        self.num_hidden_layers, self.num_attention_heads = 0, 1
        super().__init__(**more)


class StaticForSequenceClassification(PreTrainedModel):
    """Token vectors, their mean over the real tokens, dropout, and the head."""

    config_class = StaticConfig
    base_model_prefix = "static"

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(0.1)
        wide = config.head_size or config.hidden_size
        self.transform = (
            nn.Sequential(nn.Linear(config.hidden_size, wide), nn.GELU()) if config.head_size else nn.Identity()
        )
        self.classifier = nn.Linear(wide, config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token vectors."""
        return self.embeddings

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool = False,
        **_: object,
    ) -> SequenceClassifierOutput:
        """Logits (B, C); the only hidden state is the token vectors (B, T, H). Other tokenizer outputs (the segments of
        a pair) are accepted but unused, so exported files do not have them as inputs."""
        vectors = self.embeddings(input_ids)
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        logits = self.classifier(self.transform(self.dropout(pooled(vectors, mask))))
        return SequenceClassifierOutput(logits=logits, hidden_states=(vectors,) if output_hidden_states else None)


AutoConfig.register(StaticConfig.model_type, StaticConfig)
AutoModelForSequenceClassification.register(StaticConfig, StaticForSequenceClassification)
