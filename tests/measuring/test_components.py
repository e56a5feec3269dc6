"""A model of two components with a cache between them, in a process of its own: answered, timed by phase, in one file
for every length or one for each."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import plugged_in

from edgedistill.contracts import registry
from edgedistill.contracts.items import Column, Items
from edgedistill.device.files import Component
from edgedistill.errors import EdgedistillError
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.latency import Timed, time_one
from edgedistill.store.progress import Progress

TEXTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [10, 20]]


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Of files for these lengths."""

    def make(*lengths):
        files = {}
        for component in ("prefill", "decode"):
            own = {}
            for length in lengths:
                own[length] = tmp_path / f"model-{component}-{length}.cells"
                own[length].write_text(json.dumps({"component": component, "length": length}))
            files[component] = Component(own)
        return DeviceModel(files, "cells", "sums")

    with plugged_in(tmp_path / "site", {"edgedistill.runtimes": {"cells": "toy_cells:RUNTIME"}}):
        monkeypatch.setattr(registry, "task", lambda name: SimpleNamespace(device="toy_cells_device"))
        yield make


@pytest.fixture(params=["right", "left"])
def items(request):
    columns = {name: Column("input", "sequence", side=request.param) for name in ("ids", "mask")}
    return Items.of(columns, {"ids": TEXTS, "mask": [[1] * len(text) for text in TEXTS]}, [0, 0, 1, 2])


@pytest.mark.parametrize("lengths", [(None,), (4, 8)])
def test_its_cache_goes_from_one_component_to_the_other(model, items, tmp_path, lengths):
    with model(*lengths).opened(tmp_path) as opened:
        found = opened.answers(items, np.array([0, 2, 3]))
        assert opened.loaded.backend == {"ran": "decode"}
        assert list(opened.loaded.ports) == ["prefill", "decode"]
    more = list(enumerate((0, 100, 1100)))
    expected = [[sum(TEXTS[item]) + add, len(TEXTS[item]) + k] for item in (0, 2, 3) for k, add in more]
    assert found.values["sums"].tolist() == expected
    assert found.item.tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 3]
    assert found.example.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_its_phases_are_timed_apart(model, items, tmp_path):
    items.save(tmp_path / "items")
    timed = Timed("a", model(4, 8), 1, 1, tmp_path / "items")
    timing = time_one(timed, tmp_path, Progress(), min_seconds=0.05, length=None)
    assert set(timing.phases_ms) == {"prefill", "decode"}
    parts = np.sum([timing.phases_ms[phase] for phase in timing.phases_ms], axis=0)
    np.testing.assert_allclose(parts, timing.samples_ms)
    assert timing.phases()["decode"]["runs"] == timing.summary()["runs"] == len(timing.samples_ms) >= 299


def test_a_model_without_one_of_its_components_is_refused(model, items, tmp_path):
    whole = model(None)
    half = DeviceModel({"prefill": whole.files["prefill"]}, "cells", "sums")
    with pytest.raises(EdgedistillError, match="has no component 'decode', only prefill"), half.opened(tmp_path):
        pass
