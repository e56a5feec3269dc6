"""Metrics and rows by decision, for what isn't written on `Judge` and `Driver` yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgedistill.interfaces import Floats, Integers, Metric


def _correct(decisions: Integers, references: Integers) -> Floats:
    return (decisions == references).astype(np.float64)


def _accuracy(decisions: Integers, references: Integers) -> float:
    return float(_correct(decisions, references).mean())


def _f1_macro(decisions: Integers, references: Integers) -> float:
    classes = np.union1d(decisions, references)
    hits = np.array([np.sum((decisions == c) & (references == c)) for c in classes], dtype=np.float64)
    shown = np.array([np.sum(decisions == c) + np.sum(references == c) for c in classes], dtype=np.float64)
    return float(np.mean(2 * hits / shown))


METRICS: Mapping[str, Metric] = {"accuracy": Metric(_accuracy, _correct), "f1_macro": Metric(_f1_macro)}


def device_rows(outputs: Sequence[NDArray[np.generic]], batch: Mapping[str, NDArray[np.generic]]) -> Floats:
    """The file's first output, (B, C)."""
    return np.asarray(outputs[0], dtype=np.float32)
