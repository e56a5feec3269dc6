"""A runtime of models in two components, for tests: a file says which component it is, and for which length. Its
arithmetic is a sum over tokens, which the first component leaves to the second as a cache."""

from __future__ import annotations

import json

import numpy as np

from edgedistill.contracts.driver import Port, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime


class Prefill:
    """Sums up the tokens; `cache` (B, 1, T, 2) holds each of them, and whether it is one."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.inputs = {"ids": Port("int32", (1, length)), "mask": Port("float32", (1, length))}
        self.outputs = {"sums": Port("float32", (1, 2)), "cache": Port("float32", (1, 1, length, 2))}

    def run(self, feeds):
        given = feeds_of(self.inputs, feeds)
        assert self.length in (None, given["ids"].shape[1])
        mask = given["mask"].astype(np.float32)
        cache = np.stack([given["ids"].astype(np.float32) * mask, mask], -1)[:, None]
        return {"sums": cache.sum((1, 2)), "cache": cache}

    def backend(self):
        return {"ran": "prefill"}


class Decode:
    """Adds one token to what the cache holds."""

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.inputs = {"token": Port("int32", (1, 1)), "cache": Port("float32", (1, 1, length, 2))}
        self.outputs = {"sums": Port("float32", (1, 2)), "cache": Port("float32", (1, 1, length, 2))}

    def run(self, feeds):
        given = feeds_of(self.inputs, feeds)
        assert self.length in (None, given["cache"].shape[2])
        cache = given["cache"].astype(np.float32)
        cache[0, 0, (cache[0, 0, :, 1] > 0).argmax()] += [float(given["token"][0, 0]), 1]  # not into the padding
        return {"sums": cache.sum((1, 2)), "cache": cache}

    def backend(self):
        return {"ran": "decode"}


def open(file, threads, names):
    told = json.loads(file.read_text())
    return {"prefill": Prefill, "decode": Decode}[told["component"]](told["length"])


RUNTIME = Runtime(
    api=1,
    targets=("cells",),
    suffixes=(".cells",),
    packages=Packages(imports=("numpy",)),
    open=open,
    version=lambda: "1",
)
