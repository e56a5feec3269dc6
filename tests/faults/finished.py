"""When a run is what an undisturbed one is."""

from __future__ import annotations

import json
from pathlib import Path

from .world import World

COMPARED = (
    "models/*/model.safetensors",
    "models/*/config.json",
    "models/*/tokenizer.json",
    "models/*/onnx/*.onnx",
    "predictions/test/*.safetensors",
)
LEFT_OVER = ("**/*.partial", "**/*.former", ".lock.holder")


def run_differs(world: World, run: Path) -> str | None:
    """What of a run isn't as in the undisturbed one, byte for byte; or what it left lying."""
    for pattern in COMPARED:
        wanted = {file.relative_to(world.finished) for file in world.finished.glob(pattern)}
        found = {file.relative_to(run) for file in run.glob(pattern)}
        if not wanted or wanted != found:
            return f"has {sorted(map(str, found))}, expected {sorted(map(str, wanted))}"
        for name in sorted(wanted):
            if (run / name).read_bytes() != (world.finished / name).read_bytes():
                return f"{name} has other bytes"
    results = [json.loads((folder / "results.json").read_text(encoding="utf-8")) for folder in (world.finished, run)]
    for key in ("chosen", "recipe", "models", "data"):
        if key in results[0] and _steady(results[0][key]) != _steady(results[1].get(key)):
            return f"results.json: {key} is {results[1].get(key)!r:.100}, expected {results[0][key]!r:.100}"
    return left_over(run)


def left_over(run: Path, *, interrupted: bool = False) -> str | None:
    """What a run that ended has left lying. One that was `interrupted` keeps the checkpoints of its training."""
    found = {str(path.relative_to(run)) for pattern in LEFT_OVER for path in run.glob(pattern)}
    for scratch in run.glob("artifacts/scratch/*"):
        kept = (
            interrupted
            and any(scratch.iterdir())
            and all((path / "state.json").is_file() for path in scratch.iterdir())
        )
        found |= set() if kept else {str(scratch.relative_to(run))}
    return f"leaves {', '.join(sorted(found)[:3])}" if found else None


def _steady(content: object) -> object:
    """Without what differs from run to run: times, and what was measured in them."""
    if isinstance(content, dict):
        return {key: _steady(value) for key, value in content.items() if not _timed(key)}
    return [_steady(item) for item in content] if isinstance(content, list) else content


def _timed(key: str) -> bool:
    return any(
        word in key for word in ("seconds", "_ms", "rss", "per_s", "date", "time", "started", "compute", "history")
    )
