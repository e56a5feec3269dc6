"""The runtime of the toy target."""

from __future__ import annotations

from toy_target import PACKAGES, Graph

from edgedistill.contracts.runtime import Runtime

RUNTIME = Runtime(api=1, targets=("toy",), suffixes=(".toy",), packages=PACKAGES, open=Graph, version=lambda: "1")
