"""Seeds by purpose, so that adding a stage, round or process does not affect the others."""

from __future__ import annotations

import hashlib
import json


def derive(seed: int, *purpose: str) -> int:
    """A 63-bit seed for one purpose: `derive(0, "r1", "soft-targets", "order")`.

    Seeds of different purposes are as independent as sha256 makes them. Derivations nest, and
    `derive(derive(seed, "a"), "b")` is another seed than `derive(seed, "a", "b")`.

    >>> derive(0, "r1", "order") == derive(0, "r1", "order")
    True
    >>> derive(derive(0, "r1"), "order") == derive(0, "r1", "order")
    False
    """
    digest = hashlib.sha256(json.dumps([seed, *purpose]).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
