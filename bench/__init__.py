"""Programs that measure edgedistill: `python -m bench.NAME`. Not in the wheel."""
