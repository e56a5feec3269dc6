"""Whether a model can do what a run will ask of it, on a few inputs: read, answer alone as in a batch, learn, be saved.

What fails is one sentence that names the model and its architecture, says what to do, and ends with the library's own
words in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import evenly_spaced
from edgedistill.contracts.items import Items, joined
from edgedistill.contracts.task import Task
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.models.loading import load_model, save_model
from edgedistill.signals.inference import to_tensors
from edgedistill.training.training_module import ForwardPass, TrainingModule, eager_attention

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from edgedistill.contracts.batch import Batch
    from edgedistill.data.prepared import PreparedData

# Of the largest logit. Sums in another order differ by a millionth; padding that is read, by a tenth.
_TOLERANCE = 1e-3
_REAL_ITEMS = 4


@dataclass(frozen=True)
class Subject:
    """A model, and how a message calls it and what to do about it."""

    model: PreTrainedModel
    name: str
    """`the teacher`, `the student of r1`."""
    remedy: str
    """`expected another model for teacher.model`."""

    @property
    def title(self) -> str:
        """`the teacher (a 'bert')`."""
        return f"{self.name} (a '{self.model.config.model_type}')"

    def refused(self, what: str, words: str | None = None) -> UserError:
        """The sentence for what it can't do."""
        return UserError(f"{self.title} {what}; {self.remedy}" + (f" [{words}]" if words else ""))


def special_tokens(tokenizer: PreTrainedTokenizerBase | None, pairs: bool) -> int:
    """How many tokens the tokenizer puts around every text (pair of texts)."""
    return 0 if tokenizer is None else int(tokenizer.num_special_tokens_to_add(pair=pairs))


def probe_items(data: PreparedData, task: Task) -> Items:
    """Training items: the first as short as can be, the second as long, then a few as they are.

    Items of a task without tokens are all of one size, and stay as they are.
    """
    items = data.items("train")
    real = items.take(evenly_spaced(len(items), _REAL_ITEMS))
    if not task.data.tokens:
        return real
    longest = int(np.flatnonzero(items.lengths == items.lengths.max())[0])
    shortest = max(1, special_tokens(data.load_tokenizer(), "text_pair" in data.columns))
    widths = (min(shortest, data.max_length), data.max_length)
    return joined([*(_stretched(items, longest, width) for width in widths), real], [1, 1, 0])


def _stretched(items: Items, item: int, width: int) -> Items:
    """One item, cut or repeated until it is so long."""
    one = items.take([item])
    length = one.offsets[one.length_column or ""]
    along = [name for name, offsets in one.offsets.items() if np.array_equal(offsets, length)]
    values = {name: np.resize(column, width) if name in along else column for name, column in one.values.items()}
    offsets = {name: np.array([0, width]) if name in along else own for name, own in one.offsets.items()}
    return replace(one, values=values, offsets=offsets, example=np.zeros(1, np.int64))


def check_answers(subject: Subject, task: Task, items: Items) -> float:
    """Answers of every item alone and in one padded batch; gives how far they differ, as a share of the largest.

    Raises:
        UserError: an item that the model cannot read, an answer that isn't finite, or one that padding changes.
    """
    import torch

    alone = [_read(subject, task, items, [i]) for i in range(len(items))]
    together = _read(subject, task, items, list(range(len(items))))
    single = torch.cat(alone)
    if not torch.isfinite(single).all():
        raise subject.refused("returns NaN or infinity before any training")
    if single.shape != together.shape:
        raise subject.refused(
            f"returns {tuple(together.shape)} for a batch of inputs that give {tuple(single.shape)} one by one"
        )
    difference = float((single - together).abs().max() / single.abs().max().clamp(min=1e-12))
    if not difference <= _TOLERANCE:
        raise subject.refused(
            f"gives different answers in a padded batch (logits change by {difference:.1%} of the "
            f"largest): batches are padded on the {_side(items)}, and it does not ignore the padding"
        )
    return difference


def _side(items: Items) -> str:
    name = items.length_column
    return items.columns[name].side if name else "right"


def _read(subject: Subject, task: Task, items: Items, chosen: Sequence[int]) -> torch.Tensor:
    """(D, ...) answers, flat.

    Raises:
        UserError: the model fails on them, with the longest input that it can read where that is the reason.
    """
    try:
        return _answers(subject.model, task, items, chosen)
    except Exception as error:
        lengths = items.lengths[list(chosen)]
        width, words = int(lengths.max()), _words(error)
        if len(chosen) > 1:
            raise subject.refused("cannot process several inputs in one padded batch", words) from error
        limit = _longest(subject.model, task, items, chosen, width) if task.data.tokens else 0
        if limit >= int(items.lengths.min()):
            raise UserError(
                f"data.max_length: got {width}, but {subject.title} accepts at most {limit} tokens; expected no more, "
                f"or a model for longer texts [{words}]"
            ) from error
        raise subject.refused(f"cannot process an input of {width} token{'s' if width != 1 else ''}", words) from error


def _answers(
    model: PreTrainedModel, task: Task, items: Items, chosen: Sequence[int], length: int | None = None
) -> torch.Tensor:
    """(D, F) all numbers of each decision's answer that are not whole ones, such as a token's id."""
    import torch

    model.eval()
    batch, inputs = to_tensors(items.batch(chosen, length)), to_tensors(items.inputs(chosen, length))
    with torch.no_grad():
        outputs = {name: output.float() for name, output in task.model.forward(model, inputs).items()}
        values = task.model.answers(outputs, batch)
    parts = [values[name].float() for name in sorted(values) if values[name].is_floating_point()]
    return torch.cat([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], dim=1)


def _longest(model: PreTrainedModel, task: Task, items: Items, chosen: Sequence[int], width: int) -> int:
    """How many tokens of this one item the model can read, less than `width`; 0: not even one."""
    able, unable = 0, width
    while unable - able > 1:
        middle = (able + unable) // 2
        try:
            _answers(model, task, items, chosen, middle)
            able = middle
        except Exception:  # noqa: BLE001 - whatever it is, this is too long
            unable = middle
    return able


def check_saving(subject: Subject, task: Task, items: Items, folder: Path) -> None:
    """Write the model to `folder`, read it back, and compare their answers.

    Raises:
        UserError: it can't be written or read, or answers differently afterwards.
    """
    chosen = [len(items) - 1]
    before = _answers(subject.model, task, items, chosen)
    try:
        save_model(subject.model, folder)
    except OSError:
        raise  # the disk, not the model
    except Exception as error:
        raise subject.refused("cannot be saved as safetensors", _words(error)) from error
    try:
        after = _answers(load_model(task.model.auto_class(), folder, None, head_required=True), task, items, chosen)
    except Exception as error:
        raise subject.refused("cannot be loaded after saving", _words(error)) from error
    if after.shape != before.shape or not (after - before).abs().max() <= _TOLERANCE * before.abs().max():
        raise subject.refused("gives different answers after saving and loading")


def check_learning(
    subject: Subject, task: Task, module: TrainingModule, weights: Sequence[float], batch: Batch
) -> None:
    """One forward and one backward pass of the losses of a stage on `batch`, in training mode.

    Raises:
        UserError: a loss that gets nothing to compare, or that isn't finite, or has no finite gradient.
    """
    import torch

    names = [type(term).__name__ for term in module.terms]
    with explained(subject, f"cannot be trained with {', '.join(names)}"):
        _check_views(subject, module, batch)
        shown = eager_attention(subject.model) if "attention" in module.needs else nullcontext()
        module.train()
        with shown, torch.enable_grad():
            losses = module(batch)
            for name, value in zip(names, losses.detach().tolist(), strict=True):
                if not np.isfinite(value):
                    raise subject.refused(f"makes the loss {name} {value}")
            (losses * torch.tensor(weights)).sum().backward()
    module.eval()
    gradients = [each.grad for each in subject.model.parameters() if each.grad is not None]
    subject.model.zero_grad(set_to_none=True)
    if not gradients:
        raise subject.refused(f"gets no gradient from {', '.join(names)}")
    if not all(bool(torch.isfinite(each).all()) for each in gradients):
        raise subject.refused(f"gets NaN or infinite gradients from {', '.join(names)}")


def _check_views(subject: Subject, module: TrainingModule, batch: Batch) -> None:
    """Whether student and teacher show what the losses look at, layer by layer."""
    needs = module.needs
    if not needs & {"hidden", "embedding", "attention"}:
        return
    for who, model in (("it", subject.model), *((("its teacher", module.teacher.model),) if module.teacher else ())):
        depth = model.config.num_hidden_layers
        with eager_attention(model) if "attention" in needs else nullcontext():
            view = ForwardPass(model, module.task, needs & {"hidden", "embedding", "attention"})(batch)
        if "embedding" in needs and not view.hidden:
            raise subject.refused(f"has a loss on embeddings, but {who} exposes no last hidden states")
        if "hidden" in needs and len(view.hidden) != depth + 1:
            raise subject.refused(
                f"has a loss on hidden states, but {who} exposes {len(view.hidden)} for {depth} layers"
            )
        if "attention" in needs and (len(view.attention) != depth or any(each is None for each in view.attention)):
            raise subject.refused(f"has a loss on attention maps, which {who} does not expose; use hidden_mse instead")


@contextmanager
def explained(subject: Subject, what: str) -> Iterator[None]:
    """Turn whatever a library raises into the sentence that the model cannot do `what`; name the model in ours."""
    try:
        yield
    except UserError as error:
        raise error if subject.title in str(error) else UserError(f"{subject.title}: {error}") from error
    except (EdgedistillError, OSError, MemoryError):
        raise
    except Exception as error:
        raise subject.refused(what, _words(error)) from error


def attempt(name: str, kind: str, remedy: str, make: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """The model that `make` makes.

    Raises:
        UserError: its own, with the model's name before it, or what a library said.
    """
    try:
        return make()
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except (EdgedistillError, OSError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{name} cannot be built from a '{kind}'; {remedy} [{_words(error)}]") from error


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
