"""Tries a model on a few inputs: forward, batches equal to single items, backward, save and load.

A failure is one sentence that names the model and its architecture and the remedy, and ends with the library's own
message in brackets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Array, evenly_spaced
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

# Relative to the largest logit. Summation order changes logits by about 1e-6; attending to padding, by about 0.1.
_TOLERANCE = 1e-3
_REAL_ITEMS = 4


@dataclass(frozen=True)
class Subject:
    """A model, with its name in messages and the remedy."""

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
        """The message for something it cannot do."""
        return UserError(f"{self.title} {what}; {self.remedy}" + (f" [{words}]" if words else ""))


def special_tokens(tokenizer: PreTrainedTokenizerBase | None, pairs: bool) -> int:
    """Number of special tokens that the tokenizer adds to every text (or pair)."""
    return 0 if tokenizer is None else int(tokenizer.num_special_tokens_to_add(pair=pairs))


def probe_items(data: PreparedData, task: Task) -> Items:
    """Training items: the shortest possible, the longest possible, then a few unchanged ones.

    Items of a task without tokens have one size and are unchanged.
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
    """One item, truncated or repeated to that length."""
    one = items.take([item])
    length = one.offsets[one.length_column or ""]
    along = [name for name, offsets in one.offsets.items() if np.array_equal(offsets, length)]
    values = {name: np.resize(column, width) if name in along else column for name, column in one.values.items()}
    offsets = {name: np.array([0, width]) if name in along else own for name, own in one.offsets.items()}
    return replace(one, values=values, offsets=offsets, example=np.zeros(1, np.int64))


def check_answers(subject: Subject, task: Task, items: Items) -> float:
    """Compare answers for every item alone and in one padded batch; returns the largest relative difference.

    Raises:
        UserError: an item that the model cannot process, an answer that is not finite, or one that changes with
            padding.
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
        UserError: the model fails on them; with the maximum length if that is the reason.
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
    """(D, F) all floating-point values of each decision's answer."""
    import torch

    model.eval()
    batch, inputs = to_tensors(items.batch(chosen, length)), to_tensors(items.inputs(chosen, length))
    with torch.no_grad():
        if task.model.ask is not None:
            values = task.model.ask(model, batch)
        else:
            outputs = {name: output.float() for name, output in task.model.forward(model, inputs).items()}
            values = task.model.answers(outputs, batch)
    parts = [values[name].float() for name in sorted(values) if values[name].is_floating_point()]
    return torch.cat([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], dim=1)


def _longest(model: PreTrainedModel, task: Task, items: Items, chosen: Sequence[int], width: int) -> int:
    """The number of tokens of this item that the model can process, less than `width`; 0: not even one."""
    able, unable = 0, width
    while unable - able > 1:
        middle = (able + unable) // 2
        try:
            _answers(model, task, items, chosen, middle)
            able = middle
        except Exception:  # noqa: BLE001 - whatever it is, this is too long
            unable = middle
    return able


def check_head(subject: Subject, task: Task, items: Items) -> None:
    """Compare the logits that the output head computes from the last hidden states with the model's own, on the
    shortest item that has any.

    Raises:
        UserError: they differ, so that losses and signals would be those of another model.
    """
    import torch

    states, head, logits = task.model.states, task.model.head, task.model.logits
    asked = np.flatnonzero(task.data.references(items).counts(len(items)))
    if states is None or head is None or logits is None or not len(asked):
        return
    shortest = [min(asked.tolist(), key=lambda item: int(items.lengths[item]))]
    batch, inputs = to_tensors(items.batch(shortest)), to_tensors(items.inputs(shortest))
    model = subject.model.eval()
    with torch.no_grad(), explained(subject, "does not show its last hidden states"):
        computed = head(model).on(states(model, batch)).dense().logits_RC
        said = logits(task.model.forward(model, inputs), batch)
    alike = computed.shape == said.shape
    difference = float((computed - said).abs().max() / said.abs().max().clamp(min=1e-12)) if alike else math.inf
    if not difference <= _TOLERANCE:
        raise subject.refused(
            f"has logits that are not those of its output layer after its last hidden states (they differ by "
            f"{difference:.1%} of the largest): something other than a cap scales or transforms them"
        )


def check_reading(subject: Subject, task: Task, items: Items) -> None:
    """Compare what a teacher of fewer tokens reads in one row, a text and a token that could have followed one of its
    tokens, with what it reads of both one by one, on the longest item.

    Raises:
        UserError: they differ, so that its distributions cannot be projected.
    """
    import torch

    column, read = items.token_column, task.model.read
    assert column is not None, "only distributions over tokens are projected"
    assert read is not None, "a task with sequences has it"
    longest = int(np.flatnonzero(items.lengths == items.lengths.max())[0])
    text = items.take([longest]).values[column].astype(np.int64)
    after = len(text) // 2
    other = np.append(text[: after + 1], text[0])
    positions = np.append(np.arange(len(text)), after + 1)
    seen = np.append(np.arange(len(text)), after)[:, None] >= np.arange(len(positions))
    seen[-1, -1] = True

    def batch(array: Array) -> torch.Tensor:
        return torch.from_numpy(array)[None]

    model = subject.model.eval()
    what = "cannot read two continuations of a text at once, as projecting its distributions onto fewer tokens requires"
    with torch.no_grad(), explained(subject, what):
        found = read(model, batch(np.append(text, text[0])), batch(positions), batch(seen))[0]
        one, two = (model.base_model(**{column: batch(ids)}).last_hidden_state[0] for ids in (text, other))
    wanted = torch.cat([one, two[-1:]])
    difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
    if not difference <= _TOLERANCE:
        raise subject.refused(f"{what} (hidden states change by {difference:.1%} of the largest)")


def check_saving(subject: Subject, task: Task, items: Items, folder: Path) -> None:
    """Save the model to `folder`, load it, and compare answers.

    Raises:
        UserError: it cannot be saved or loaded, or gives different answers afterwards.
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
        UserError: a loss without the outputs it needs, or that is not finite, or has no finite gradient.
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
    gradients = [parameter.grad for parameter in subject.model.parameters() if parameter.grad is not None]
    subject.model.zero_grad(set_to_none=True)
    if not gradients:
        raise subject.refused(f"gets no gradient from {', '.join(names)}")
    if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        raise subject.refused(f"gets NaN or infinite gradients from {', '.join(names)}")


def _check_views(subject: Subject, module: TrainingModule, batch: Batch) -> None:
    """Check that student and teacher expose what the losses need, layer by layer."""
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
        if "attention" in needs and (len(view.attention) != depth or any(layer is None for layer in view.attention)):
            raise subject.refused(f"has a loss on attention maps, which {who} does not expose; use hidden_mse instead")


@contextmanager
def explained(subject: Subject, what: str) -> Iterator[None]:
    """Turn any library error into the message that the model cannot do `what`; add the model's name to our own
    errors."""
    try:
        yield
    except UserError as error:
        raise error if subject.title in str(error) else UserError(f"{subject.title}: {error}") from error
    except (EdgedistillError, OSError, MemoryError):
        raise
    except Exception as error:
        raise subject.refused(what, _words(error)) from error


def attempt(name: str, kind: str, remedy: str, make: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """Build the model with `make`.

    Raises:
        UserError: our own error with the model's name, or a library's.
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
