"""A target, which is a file format: what makes its files of a model. Numpy only, torch where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.arrays import Arrays
from edgedistill.contracts.items import Column
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.tensors import Tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def outputs_of(model: PreTrainedModel, inputs: Tensors) -> Tensors:
    """What a model of transformers' gives, by its own names."""
    found: Tensors = model(**inputs)
    return found


@dataclass(frozen=True)
class FileRequest:
    """What an exporter is given to make one file.

    A fixed-shape target is asked once for every bucket, with `length` set and `source` of the same bucket. Where a
    task's driver asks several components, every file is of one of them.
    """

    precision: str
    model: Callable[[], PreTrainedModel]
    """Loads the model, in float32 and evaluation mode, on the CPU."""
    samples: Callable[[int, int], Tensors]
    """`samples(batch, length)`: real inputs by name, repeated or cut to (B, T); blocks are (B, ...), as they are."""
    max_length: int
    columns: Callable[[], Mapping[str, Column]]
    """What the model takes, in its own order."""
    outputs: tuple[str, ...]
    """Names of what the file gives, in the order in which the model does."""
    component: str = "model"
    """Which part of the model the file is of, where a task's driver asks several."""
    forward: Callable[[PreTrainedModel, Tensors], Tensors] = outputs_of
    """(model, inputs) -> its outputs by name: what the file is compared with."""
    length: int | None = None
    """The only length that the file must take; None: every length from `min_length` to `max_length`."""
    fixed: bool = False
    """Whether it takes one item of that length at a time, and not any number of them."""
    source: Path | None = None
    """The file that it is made of, where `Precision.made_of` names one."""
    calibration: Sequence[Arrays] = ()
    """Real inputs one by one, (1, T) by name, at their own length, or padded to `length` where that is set."""
    min_length: int = 1
    """The fewest tokens that an input can have: those that the tokenizer puts around every text, and one more."""
    folder: Path | None = None
    """The model's own, with its tokenizer: for a target whose files hold that too."""


@dataclass(frozen=True)
class ShapeCheck:
    """One shape at which a file was compared with torch."""

    batch: int
    length: int
    max_abs_diff: float


@dataclass(frozen=True)
class RuntimeSize:
    """An estimate of the runtime that a file needs beside it, without the file: `MadeFile.facts["runtime_size"]`, as a
    mapping."""

    bytes: int
    operators: int
    """How many it has."""
    unknown: tuple[str, ...]
    """Those whose size nothing is known of, which come on top."""
    basis: str
    """What the estimate is made of."""


@dataclass(frozen=True)
class MadeFile:
    """What an exporter tells of the file that it wrote."""

    checks: tuple[ShapeCheck, ...] = ()
    inputs: tuple[str, ...] = ()
    """Names of the file's inputs in its order, where its format has no names."""
    build_files: tuple[str, ...] = ()
    """Names of files written beside it that no device needs (the configuration of a reduced build): published with it,
    but not counted in its size."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What else is to be reported (operators, delegated share, `runtime_size`)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Target(Versioned):
    """A module found through the entry points `edgedistill.exporters` exports one as `TARGET`.

    Its module imports nothing heavy at its top: the plan reads what stands here.

    Args:
        version: raised whenever it would write other bytes.
        precisions: by the name that a recipe gives; what is not here is refused, with that reason in plan and report.
        runtimes: those that measure it when the recipe names none.
        packages: what making its files needs.
        make: (request, file to write) -> what there is to tell of it. It may write more beside the file (weights).
            It raises `RefusedError` where the target cannot express the model, `EdgedistillError` where it failed or
            the file differs from torch by more than rounding.
        fixed_shapes: whether a file takes one item of one length, so that there is a file for every bucket of
            `export.buckets`.
        holds_tokenizer: whether its files hold the model's tokenizer, so that a device needs no other.
        isolated: whether its files are made in a process of their own: native code that may crash, or global state.
            Where `packages` live in another environment, they always are.
    """

    precisions: Mapping[str, Precision]
    runtimes: tuple[str, ...]
    packages: Packages
    make: Callable[[FileRequest, Path], MadeFile]
    fixed_shapes: bool = False
    holds_tokenizer: bool = False
    isolated: bool = False

    def fault(self, name: str) -> str | None:
        """Why this cannot be used, or None."""
        known = self.precisions if isinstance(self.precisions, Mapping) else {}
        if not known or not all(isinstance(each, Precision) for each in known.values()):
            return f"its precisions are {self.precisions!r:.80}, expected at least one Precision by name"
        if not isinstance(self.packages, Packages):
            return f"its packages are {self.packages!r:.80}, expected Packages"
        return super().fault(name)
