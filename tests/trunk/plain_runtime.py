"""The runtime of the plain target."""

from __future__ import annotations

from trunk.plain_target import PACKAGES, Graph

from edgedistill.contracts.runtime import Runtime

RUNTIME = Runtime(
    api=1,
    targets=("plain",),
    suffixes=(".npz",),
    packages=PACKAGES,
    open=lambda file, threads, names: Graph(file),
    version=lambda: "1",
)
