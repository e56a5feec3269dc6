"""edgedistill: distil a transformer in rounds, quantize, export, verify, measure, and know which student to ship."""

from __future__ import annotations

__version__ = "0.1.0"
