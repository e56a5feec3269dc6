"""The runtime of the plain target."""

from __future__ import annotations

from trunk.plain_target import PACKAGES, Session

from edgedistill.contracts.runtime import Runtime

RUNTIME = Runtime(
    api=1,
    targets=("plain",),
    suffixes=(".npz",),
    packages=PACKAGES,
    open=lambda file, threads: Session(file),
    version=lambda: "1",
)
