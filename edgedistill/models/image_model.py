"""A fully connected network on the pixels of small images, as a `transformers` model."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput


class PixelsConfig(PreTrainedConfig):
    """`pixels` values from 0 to `brightest`, then `num_hidden_layers` layers of `hidden_size` rectified units."""

    model_type = "edgedistill-pixels"

    def __init__(
        self,
        pixels: int = 64,
        brightest: int = 16,
        hidden_size: int = 32,
        num_hidden_layers: int = 1,
        dropout: float = 0.0,
        **more: object,
    ) -> None:
        self.pixels, self.brightest = pixels, brightest
        self.hidden_size, self.num_hidden_layers, self.dropout = hidden_size, num_hidden_layers, dropout
        self.num_attention_heads, self.vocab_size, self.intermediate_size = 1, 0, hidden_size
        super().__init__(**more)


class PixelsForImageClassification(PreTrainedModel):
    """Layers of rectified linear units, dropout after each (Hinton et al. 2015, section 3)."""

    config_class = PixelsConfig
    base_model_prefix = "pixels"
    main_input_name = "pixel_values"

    def __init__(self, config: PixelsConfig) -> None:
        super().__init__(config)
        self.entry = nn.Linear(config.pixels, config.hidden_size)
        self.layers = nn.ModuleList(
            nn.Linear(config.hidden_size, config.hidden_size) for _ in range(config.num_hidden_layers - 1)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    def forward(
        self, pixel_values: torch.Tensor, output_hidden_states: bool = False, **_: object
    ) -> ImageClassifierOutput:
        """Logits (B, C) from integer pixels (B, P); hidden states are (B, 1, H)."""
        state = self.dropout(torch.relu(self.entry(pixel_values.float() / self.config.brightest)))
        states = [state]
        for layer in self.layers:
            state = self.dropout(torch.relu(layer(state)))
            states.append(state)
        hidden = tuple(hidden_state.unsqueeze(1) for hidden_state in states) if output_hidden_states else None
        return ImageClassifierOutput(logits=self.classifier(state), hidden_states=hidden)


AutoConfig.register(PixelsConfig.model_type, PixelsConfig)
AutoModelForImageClassification.register(PixelsConfig, PixelsForImageClassification)
