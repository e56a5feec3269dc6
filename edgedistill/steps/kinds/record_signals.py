"""Records one model's outputs on one split, once: distributions, or the hidden states that losses need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.schema import Compute
from edgedistill.spec import NotInKey, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Signal, Signals, TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The signal and the split; for hidden states, the layer maps that use them."""

    task: TaskSpec
    split: Literal["train", "unlabeled"]
    signal: Signal
    compute: Compute
    max_gb: Annotated[float, NotInKey()]
    k: int = 0
    bits: int = 0
    """Bits per log-probability of `top-k`, or per entry of a state."""
    temperatures: tuple[float, ...] = ()
    """Temperatures at which the remaining mass is read."""
    layer_maps: tuple[LayerMap, ...] = ()
    student_layers: int | None = None


@dataclass(frozen=True)
class Inputs:
    """The model, and the data in its student's tokens."""

    data: DataInputs
    model: Artifact[TrainedModel]
    tokens: Artifact[TokenisedData] | None = None
    """The data step with the model's tokenizer, if it differs from the data's."""


KIND = StepKind("edgedistill.steps.record_signals:run", 7, Settings, Inputs, Signals)
PROJECTED = StepKind("edgedistill.steps.record_signals:run", 8, Settings, Inputs, Signals)
"""Distributions projected onto a student's tokens (`Inputs.tokens`), which are versioned apart."""
