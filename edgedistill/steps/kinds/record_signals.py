"""Records what one model says about one split, once: distributions, or the hidden states that losses ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.recipe.schema import Compute, TaskSpec
from edgedistill.spec import NotInKey, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Signal, Signals, TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """Which signal of which split; hidden states by the layer maps that read them."""

    task: TaskSpec
    split: Literal["train", "unlabeled"]
    signal: Signal
    compute: Compute
    max_gb: Annotated[float, NotInKey()]
    k: int = 0
    bits: int = 0
    """Of each log-probability of `top-k`, or of each entry of a state."""
    temperatures: tuple[float, ...] = ()
    """At which the mass of the rest is read."""
    layer_maps: tuple[LayerMap, ...] = ()
    student_layers: int | None = None


@dataclass(frozen=True)
class Inputs:
    """The model, and the data in the tokens of whom it teaches."""

    data: DataInputs
    model: Artifact[TrainedModel]
    tokens: Artifact[TokenisedData] | None = None
    """Where the model reads other tokens than the data is in: what has its tokenizer."""


KIND = StepKind("edgedistill.steps.record_signals:run", 6, Settings, Inputs, Signals)
