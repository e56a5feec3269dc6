from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from edgedistill_exporters.torch_one_token import one_token

SIZES = {"num_labels": 3, "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
DISTILBERT = {"n_layers": 3, "dim": 32, "n_heads": 4, "hidden_dim": 64, "num_labels": 3}
LENGTH = 12


def built(kind: str, attention: str, auto=AutoModelForSequenceClassification):
    torch.manual_seed(0)
    sizes = DISTILBERT if kind == "distilbert" else SIZES
    model = auto.from_config(AutoConfig.for_model(kind, vocab_size=50, max_position_embeddings=80, **sizes))
    model.set_attn_implementation(attention)
    return model.eval()


def texts(seed: int, batch: int = 2):
    ids = torch.randint(5, 50, (batch, LENGTH), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def padded():
    inputs = texts(1)
    inputs["attention_mask"][1, 7:] = 0
    return inputs


class Reading(nn.Module):
    """What `read` makes of a model's output."""

    def __init__(self, model, read) -> None:
        super().__init__()
        self.model, self.read = model, read

    def forward(self, **inputs):
        return self.read(self.model(**inputs))


def logits(output):
    return output.logits


def tokens(graph) -> Counter:
    """How many tokens linear layers are computed for."""
    shapes = []
    node_of = torch.fx.Interpreter.run_node

    class Noting(torch.fx.Interpreter):
        def run_node(self, node):
            value = node_of(self, node)
            if node.target is torch.ops.aten.linear.default and value.ndim == 3:
                shapes.append(value.shape[1])
            return value

    Noting(graph).run(*texts(0).values())
    return Counter(shapes)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert"])
def test_the_last_layer_is_computed_for_the_token_that_is_read(kind, attention):
    plain = Reading(built(kind, attention), logits).eval()
    made = one_token(plain, texts(0))
    assert tokens(made) == {LENGTH: 2 * 6 + 2 + (kind == "electra"), 1: 4}
    with torch.no_grad():
        torch.testing.assert_close(made(**padded()), plain(**padded()), atol=1e-6, rtol=0)


def test_any_one_token_will_do():
    plain = Reading(built("bert", "sdpa", AutoModel), lambda output: output.last_hidden_state[:, -1]).eval()
    made = one_token(plain, texts(0))
    assert tokens(made) == {LENGTH: 14, 1: 4}
    with torch.no_grad():
        torch.testing.assert_close(made(**padded()), plain(**padded()), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "read",
    [
        lambda states: states.mean(1),
        lambda states: states[:, 0] + states[:, -1],
        lambda states: states[:, 0] * states.mean(1),
    ],
)
def test_a_model_that_is_read_for_more_tokens_stays_as_it_is(read):
    plain = Reading(built("bert", "sdpa", AutoModel), lambda output: read(output.last_hidden_state)).eval()
    assert one_token(plain, texts(0)) is plain


def test_a_causal_attention_is_left_alone():
    """Its first query would see the first key only, whichever it is."""

    class Causal(nn.Module):
        def forward(self, x):
            heads = x.unflatten(-1, (2, 4)).transpose(1, 2)
            mixed = nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
            return mixed.transpose(1, 2).reshape(2, 6, 8)[:, -1]

    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    made = one_token(Causal().eval(), {"x": x})
    torch.testing.assert_close(made(x=x), Causal()(x))


def test_values_that_are_changed_in_place_are_computed_for_all_tokens():
    """Whatever else shares their memory sees the change at every token."""

    class InPlace(nn.Module):
        def forward(self, x):
            moved = x * 2
            seen = moved.transpose(1, 2)
            return moved.add_(1)[:, 0] + seen.mean(2)

    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    made = one_token(InPlace().eval(), {"x": x})
    torch.testing.assert_close(made(x=x), InPlace()(x))
