"""What students a model allows, judging by its `config.json`. Light, since the plan uses it."""

from __future__ import annotations

from collections.abc import Mapping

from edgedistill.contracts import registry
from edgedistill.spec import may_name_rounds

Config = Mapping[str, object]

_ENCODER_DECODERS = frozenset(
    "bart bigbird_pegasus led mbart mt5 mvp pegasus plbart t5 t5gemma t5gemma2 umt5".split()  # noqa: SIM905 - a list of words
)


def kind_of(config: Config) -> str:
    """The architecture's name."""
    return str(config.get("model_type"))


def is_encoder_decoder(config: Config) -> bool:
    """Whether it is an encoder-decoder, whose layers and hidden states have no single order."""
    return bool(config.get("is_encoder_decoder")) or kind_of(config) in _ENCODER_DECODERS


def shares_layers(config: Config) -> bool:
    """Whether layers share weights, as in ALBERT."""
    groups, layers = config.get("num_hidden_groups"), config.get("num_hidden_layers")
    return (isinstance(groups, int) and isinstance(layers, int) and groups < layers) or kind_of(config) == "albert"


def fixed_layers(config: Config) -> str | None:
    """Why layers cannot be kept individually, as the end of a sentence; or None."""
    if shares_layers(config):
        return "whose layers share weights"
    if config.get("scale_attn_by_inverse_layer_idx"):
        return "whose layers scale attention by layer index"
    return None


def unsuitable(init: str, source: Config) -> str | None:
    """Why an initialisation cannot build a student from such a model; None if no reason is known."""
    check = registry.student(init).unsuitable
    return check(None, source) if check is not None else None


def suitable(source: Config) -> list[str]:
    """The initialisations that suit such a model, judging by its configuration."""
    cut = [name for name in registry.names("students") if may_name_rounds(registry.student(name).spec)]
    return [name for name in cut if unsuitable(name, source) is None]


def advice(source: Config) -> str:
    """Advice such as `use init: keep_layers or scratch`."""
    *most, last = suitable(source)
    return f"use init: {', '.join(most)} or {last}" if most else f"use init: {last}"
