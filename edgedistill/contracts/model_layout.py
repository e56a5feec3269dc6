"""Names of each architecture's attention and feed-forward weights."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.errors import UserError


@dataclass(frozen=True)
class Layout:
    """Names relative to one layer."""

    attention_in: tuple[str, ...]
    """Projections with heads x head size outputs: queries, keys, values."""
    attention_out: str
    """Projection with heads x head size inputs."""
    intermediate: str
    """Projection to the feed-forward neurons."""
    output: str
    """Projection from the feed-forward neurons."""


_BERT = Layout(
    attention_in=("attention.self.query", "attention.self.key", "attention.self.value"),
    attention_out="attention.output.dense",
    intermediate="intermediate.dense",
    output="output.dense",
)
LAYOUTS = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "edgedistill-pruned-bert": _BERT,
    "distilbert": Layout(
        attention_in=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        attention_out="attention.out_lin",
        intermediate="ffn.lin1",
        output="ffn.lin2",
    ),
    "mpnet": Layout(
        attention_in=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        attention_out="attention.attn.o",
        intermediate="intermediate.dense",
        output="output.dense",
    ),
}


def layout_of(model_type: str, asker: str) -> Layout:
    """The layout of an architecture.

    Raises:
        UserError: it is unknown; `asker` (`init: narrow`) names what needs it.
    """
    if model_type not in LAYOUTS:
        raise UserError(
            f"{asker} does not support the '{model_type}' architecture; expected one of {', '.join(sorted(LAYOUTS))}"
        )
    return LAYOUTS[model_type]
