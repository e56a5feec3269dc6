"""A student with the source's body and only the tokens its texts need, since embeddings are most of a small model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.arrays import Integers
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.spec import RoundRef
from edgedistill.students._tokens import trimmed_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class TrimVocabularySpec(StudentSpec):
    """`trim_vocabulary`: keeps the most frequent tokens of the training texts, up to `coverage` of their occurrences or
    `vocabulary` tokens in all."""

    init: Literal["trim_vocabulary"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The source model."""
    coverage: float = Field(1.0, gt=0, le=1)
    """Fraction of the token occurrences in the training texts that the kept tokens account for."""
    vocabulary: int | None = Field(None, ge=2)
    """Number of tokens to keep, including special tokens, single characters and bytes."""
    characters: Literal["all", "texts"] = "all"
    """Single characters to keep: `all` of the source's, so that no text becomes unknown that wasn't, or those in the
    training `texts`, which saves 2,000 tokens of BERT's for English text."""

    @model_validator(mode="after")
    def _one_measure(self) -> TrimVocabularySpec:
        if self.vocabulary is not None and self.coverage != 1:
            raise ValueError("expected either 'coverage' or 'vocabulary'")
        return self


def make_tokenizer(spec: TrimVocabularySpec, source: Path, token_ids: Integers, folder: Path) -> list[int]:
    """See `Student.make_tokenizer`.

    Raises:
        UserError: an algorithm that cannot be trimmed, or an impossible vocabulary size.
    """
    return trimmed_tokenizer(source, token_ids, folder, spec.coverage, spec.vocabulary, spec.characters)


def planned(spec: TrimVocabularySpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source with that many tokens; the data decides which."""
    from edgedistill.models.sizes import with_vocabulary

    assert spec.vocabulary is not None, "the plan calls this only when the spec determines the size"
    return PlannedStudent(with_vocabulary(source, range(spec.vocabulary)))


def unsuitable(spec: TrimVocabularySpec | None, source: Config) -> str | None:
    """Why a model's vocabulary cannot be trimmed."""
    from edgedistill.vocabulary.cutting import uncuttable

    return uncuttable(source)


def build(request: StudentRequest[TrimVocabularySpec]) -> PreTrainedModel:
    """The source with its token embeddings cut to the kept tokens: gives the same answers on text that they cover.

    Raises:
        UserError: a model whose tables do not have one row per token.
    """
    from edgedistill.models.loading import load_model
    from edgedistill.vocabulary.cutting import cut_to_tokens

    assert request.kept_tokens is not None, "the plan gives every trimmed student its tokenizer"
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    return cut_to_tokens(source, request.kept_tokens, request.auto_class)


STUDENT = Student(
    api=1,
    version=4,
    spec=TrimVocabularySpec,
    build=build,
    planned=planned,
    sized=lambda spec: spec.vocabulary is not None,
    unsuitable=unsuitable,
    make_tokenizer=make_tokenizer,
)
