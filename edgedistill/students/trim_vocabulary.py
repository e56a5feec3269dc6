"""A student with the source's body and only the tokens that its texts need: embeddings are most of a small model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts.items import Items
from edgedistill.contracts.student import Student, StudentRequest, StudentSpec
from edgedistill.spec import RoundRef
from edgedistill.students._tokens import trimmed_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class TrimVocabularySpec(StudentSpec):
    """`trim_vocabulary`: keep the training texts' most frequent tokens that make up `coverage` of them."""

    init: Literal["trim_vocabulary"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    coverage: float = Field(1.0, gt=0, le=1)


def make_tokenizer(spec: TrimVocabularySpec, source: Path, train: Items, folder: Path) -> list[int]:
    """As `Student.make_tokenizer` says.

    Raises:
        UserError: an algorithm that can't be trimmed.
    """
    return trimmed_tokenizer(spec.coverage, source, train, folder)


def build(request: StudentRequest[TrimVocabularySpec]) -> PreTrainedModel:
    """The source's weights, its token embeddings cut to the kept tokens: the same answers on text that they cover."""
    from edgedistill.models.loading import load_model
    from edgedistill.models.sizes import with_vocabulary

    assert request.kept_tokens is not None, "the plan gives every trimmed student its tokenizer"
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    old = source.config.vocab_size
    student = request.auto_class.from_config(with_vocabulary(source.config, request.kept_tokens))
    chosen: dict[str, torch.Tensor] = {}
    for name, target in student.state_dict().items():
        value = source.state_dict()[name]
        chosen[name] = value[request.kept_tokens] if value.shape != target.shape and value.shape[0] == old else value
    student.load_state_dict(chosen)
    return student


STUDENT = Student(
    api=1,
    version=1,
    spec=TrimVocabularySpec,
    build=build,
    make_tokenizer=make_tokenizer,
)
