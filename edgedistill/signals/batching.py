"""Batches of items of similar length, to minimise padding."""

from __future__ import annotations

import numpy as np

from edgedistill.arrays import Integers


def length_buckets(lengths: Integers, batch_size: int, generator: np.random.Generator | None = None) -> list[Integers]:
    """Batches of similar length covering everything once.

    With a generator, items are shuffled, sorted by length within pools of 50 batches, and the batches shuffled; without
    one the order is by length only.
    """
    if generator is None:
        order = np.argsort(lengths, kind="stable")
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    order = generator.permutation(len(lengths))
    pool = 50 * batch_size
    batches = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]
