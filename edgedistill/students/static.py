"""A student without layers: a bag of token vectors and a small head, the smallest kind of student.

Vectors are random, or from the source: the source's output for each single token, reduced by principal components and
weighted by rarity (Model2Vec, Tulkens & van Dongen 2024; SIF, Arora et al. 2017, algorithm 1).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from edgedistill.arrays import Floats, Integers
from edgedistill.contracts.student import Student, StudentRequest, StudentSpec
from edgedistill.errors import UserError
from edgedistill.spec import RoundRef
from edgedistill.students._tokens import trimmed_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_TOKENS_AT_ONCE = 1024


class StaticSpec(StudentSpec):
    """`static`: a bag of token vectors and a small head, for the tokens of the training texts only."""

    init: Literal["static"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The model to take the vectors from."""
    dimensions: int = Field(64, ge=2)
    """Dimensions of a token vector."""
    head_size: int = Field(0, ge=0)
    """Hidden units of the head; 0 for a linear head."""
    vectors: Literal["source", "random"] = "source"
    """Initialise the vectors from the source, or randomly."""
    sif: float = Field(1e-3, gt=0)
    """Smooth inverse frequency: smaller values downweight frequent tokens more."""
    coverage: float = Field(1.0, gt=0, le=1)
    """Fraction of the token occurrences in the training texts that the kept tokens account for."""


def make_tokenizer(spec: StaticSpec, source: Path, token_ids: Integers, folder: Path) -> list[int]:
    """The source's tokenizer with the tokens that the training texts need, as in `trim_vocabulary`."""
    return trimmed_tokenizer(source, token_ids, folder, spec.coverage)


def build(request: StudentRequest[StaticSpec]) -> PreTrainedModel:
    """The student with initialised vectors.

    Raises:
        UserError: more dimensions than the source has.
    """
    import torch

    from edgedistill.models.loading import load_model
    from edgedistill.models.static_model import StaticConfig, StaticForSequenceClassification
    from edgedistill.vocabulary.trimming import ADDED_BYTE

    spec, kept = request.spec, request.kept_tokens
    assert kept is not None, "the plan gives every static student its tokenizer"
    assert request.tokenizer is not None, "the recipe refuses tasks without a tokenizer"
    assert request.train is not None, "the distil step gives the training tokens"
    config = StaticConfig(
        vocab_size=len(kept),
        hidden_size=spec.dimensions,
        head_size=spec.head_size,
        pad_token_id=request.tokenizer.pad_token_id,
        **request.config_overrides,
    )
    student = StaticForSequenceClassification(config)
    if spec.vectors == "random":
        return student
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    width = source.config.hidden_size
    if spec.dimensions > min(width, len(kept)):
        raise UserError(f"student.dimensions: got {spec.dimensions}, expected at most {min(width, len(kept))}")
    around = [request.tokenizer.cls_token_id, request.tokenizer.sep_token_id]
    first, last = ([] if token is None else [kept[token]] for token in around)
    vectors = np.empty((len(kept), width), np.float32)
    known = np.array(kept) != ADDED_BYTE
    vectors[known] = token_vectors(source, [token for token in kept if token != ADDED_BYTE], first, last)
    vectors[~known] = vectors[known].mean(axis=0)
    shares = token_shares(request.train.token_ids, len(kept))
    weighted = principal_components(vectors, spec.dimensions) * sif_weights(shares, spec.sif)[:, None]
    with torch.no_grad():
        # The head expects vectors of about unit scale, like random ones.
        weighted *= 1 / np.linalg.norm(weighted, axis=1).mean()
        student.embeddings.weight.copy_(torch.from_numpy(weighted.astype(np.float32)))
    return student


def token_vectors(source: PreTrainedModel, tokens: list[int], first: list[int], last: list[int]) -> Floats:
    """(V, H) mean of the last hidden states for each single token between the special tokens."""
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(tokens), _TOKENS_AT_ONCE):
            ids = torch.tensor([[*first, token, *last] for token in tokens[start : start + _TOKENS_AT_ONCE]])
            hidden = source(input_ids=ids, output_hidden_states=True).hidden_states[-1]
            parts.append(hidden.mean(1).numpy())
    return np.concatenate(parts)


def principal_components(vectors: Floats, dimensions: int) -> Floats:
    """(V, D) centred vectors along their `dimensions` directions of largest variance."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    reduced: Floats = centred @ directions[:, ::-1][:, :dimensions]
    return reduced


def token_shares(token_ids: Integers, vocabulary: int) -> Floats:
    """(V,) relative frequency of each token in the training texts."""
    counts = np.bincount(token_ids, minlength=vocabulary)
    shares: Floats = counts / counts.sum()
    return shares


def sif_weights(shares: Floats, a: float) -> Floats:
    """(V,) a / (a + p): rare tokens near 1, frequent ones near 0."""
    weights: Floats = a / (a + shares)
    return weights


STUDENT = Student(
    api=1,
    version=3,
    spec=StaticSpec,
    build=build,
    becomes="edgedistill-static",
    make_tokenizer=make_tokenizer,
)
