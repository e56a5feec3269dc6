"""A target, i.e. a file format, and the exporter of its files. Numpy only; torch is imported on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.arrays import Arrays
from edgedistill.contracts.items import Column
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.precision import Mix, Precision
from edgedistill.contracts.tensors import Tensors
from edgedistill.contracts.weights import Sizing

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def outputs_of(model: PreTrainedModel, inputs: Tensors) -> Tensors:
    """Outputs of a transformers model, by its own names."""
    found: Tensors = model(**inputs)
    return found


@dataclass(frozen=True)
class FileRequest:
    """The inputs of an exporter for one file.

    A fixed-shape target gets one request per bucket, with `length` set and `source` from the same bucket. If a task's
    driver has several components, each file is one of them.
    """

    precision: str
    model: Callable[[], PreTrainedModel]
    """Loads the model, in float32 and evaluation mode, on the CPU."""
    samples: Callable[[int, int], Tensors]
    """`samples(batch, length)`: real inputs by name, repeated or truncated to (B, T); blocks are unchanged, (B,
    ...)."""
    max_length: int
    columns: Callable[[], Mapping[str, Column]]
    """The model's inputs, in its order."""
    outputs: tuple[str, ...]
    """Names of the file's outputs, in the model's order."""
    component: str = "model"
    """The component to export, if a task's driver has several."""
    forward: Callable[[PreTrainedModel, Tensors], Tensors] = outputs_of
    """(model, inputs) -> its outputs by name, to compare the file with."""
    length: int | None = None
    """The only length to support; None: every length from `min_length` to `max_length`."""
    fixed: bool = False
    """Whether it takes one item of that length at a time instead of any number."""
    source: Path | None = None
    """The file to make it from, if `Precision.made_of` names one."""
    calibration: Sequence[Arrays] = ()
    """Real inputs one by one, (1, T) by name, at their own length, or padded to `length` if set."""
    method: str | None = None
    """How ranges are estimated from these, one of `Precision.methods`; None: as usual for the target."""
    min_length: int = 1
    """Minimum input length in tokens: the special tokens around every text plus one."""
    folder: Path | None = None
    """Folder of the model and its tokenizer, for targets whose files contain the tokenizer."""
    mix: Mix | None = None
    """The precision of each part, for a target that has mixes; `precision` is then the mix's name."""


@dataclass(frozen=True)
class ShapeCheck:
    """One input shape at which a file was compared with PyTorch."""

    batch: int
    length: int
    max_abs_diff: float


@dataclass(frozen=True)
class RuntimeSize:
    """Estimated size of the minimal runtime for a file, excluding the file: `MadeFile.facts["runtime_size"]`, as a
    mapping."""

    bytes: int
    operators: int
    """Number of operators."""
    unknown: tuple[str, ...]
    """Operators of unknown size, not included."""
    basis: str
    """Basis of the estimate."""


@dataclass(frozen=True)
class MadeFile:
    """An exporter's record of the file it wrote."""

    checks: tuple[ShapeCheck, ...] = ()
    inputs: tuple[str, ...] = ()
    """Names of the file's inputs in its order, if its format has no names."""
    build_files: tuple[str, ...] = ()
    """Names of accompanying files that devices do not need (the configuration of a reduced build): published, but not
    counted in its size."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """Other facts to report (operators, delegated share, `runtime_size`, `bytes_by_part`)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Target(Versioned):
    """A module found through the entry points `edgedistill.exporters` exports one as `TARGET`.

    Its module must not import anything heavy at the top, since the plan reads it.

    Args:
        version: raised whenever it would write different bytes.
        precisions: by their names in a recipe; others are refused, with the reason in plan and report.
        runtimes: default runtimes to measure it with.
        packages: requirements for exporting.
        make: (request, file to write) -> its record. It may write more beside the file (weights). Raises `RefusedError`
            if the target cannot express the model, `EdgedistillError` if it failed or the file differs from PyTorch by
            more than rounding.
        fixed_shapes: whether a file takes one item of one length, so that there is one file per bucket in
            `export.buckets`.
        holds_tokenizer: whether its files contain the model's tokenizer.
        mix: how it makes mixes of precisions by part, if it does; the mix's name takes the place of `{}` in its file's.
        mix_sizing: bytes of an encoder's file of a mix, from its weights; None: not known.
        isolated: whether to export in a separate process, for native code that may crash or global state. Always the
            case if `packages` are in another environment.
    """

    precisions: Mapping[str, Precision]
    runtimes: tuple[str, ...]
    packages: Packages
    make: Callable[[FileRequest, Path], MadeFile]
    fixed_shapes: bool = False
    holds_tokenizer: bool = False
    isolated: bool = False
    mix: Precision | None = None
    mix_sizing: Callable[[Mix], Sizing] | None = None

    def precision(self, name: str) -> Precision | None:
        """The precision of that name; any other name is that of a mix, if the target has mixes."""
        if name in self.precisions or self.mix is None:
            return self.precisions.get(name)
        return replace(self.mix, file=self.mix.file.format(name))

    def fault(self, name: str) -> str | None:
        """Why it cannot be used, or None."""
        known = self.precisions if isinstance(self.precisions, Mapping) else {}
        if not known or not all(isinstance(precision, Precision) for precision in known.values()):
            return f"its precisions are {self.precisions!r:.80}, expected at least one Precision by name"
        if not isinstance(self.packages, Packages):
            return f"its packages are {self.packages!r:.80}, expected Packages"
        return super().fault(name)
