"""Does it help that idle threads yield? Training steps with `OMP_WAIT_POLICY=passive` (as edgedistill sets it) and
without (as OpenMP does by itself), of one process alone and of two that share the cores.

    python -m bench.waiting_threads [--repeats 5] [--seconds 8]

The arms take turns, in an order that is drawn anew in each repeat. A process trains a two-layer BERT on random tokens
with as many threads as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.record import Goal, record

BATCH, LENGTH = 16, 32
POLICIES: dict[str, dict[str, str]] = {"passive": {"OMP_WAIT_POLICY": "passive"}, "as it is": {}}
PROCESSES = (1, 2)


@dataclass(frozen=True)
class Speed:
    """Training samples of all processes together."""

    a_wall_second: float
    a_cpu_second: float


def train(seconds: float) -> None:
    """Train for so long; print samples, seconds and CPU seconds."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    model = BertForSequenceClassification(BertConfig(vocab_size=2000, num_labels=10, **sizes))
    optimizer = torch.optim.AdamW(model.parameters())
    tokens, labels = torch.randint(0, 2000, (BATCH, LENGTH)), torch.randint(0, 10, (BATCH,))
    for warm in (True, False):
        begun, cpu, samples = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begun < (1.0 if warm else seconds):
            model(input_ids=tokens, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            samples += BATCH
    json.dump([samples, time.perf_counter() - begun, time.process_time() - cpu], sys.stdout)


def speed(policy: str, processes: int, seconds: float) -> Speed:
    """Of so many processes at once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_", "GOMP_"))}
    command = [sys.executable, "-m", "bench.waiting_threads", "--train", str(seconds)]
    started = [
        subprocess.Popen(command, env=kept | POLICIES[policy], stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    samples, wall, cpu = np.array([json.loads(process.communicate()[0]) for process in started]).T
    return Speed(float((samples / wall).sum()), float(samples.sum() / cpu.sum()))


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting_threads", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--train", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    if chosen.train is not None:
        train(chosen.train)
        return
    rng = random.Random(0)
    found: dict[tuple[str, int], list[Speed]] = {(policy, count): [] for policy in POLICIES for count in PROCESSES}
    for _ in range(chosen.repeats):
        for policy, count in rng.sample(sorted(found), len(found)):
            found[policy, count].append(speed(policy, count, chosen.seconds))
    rows, goals = [], []
    for count in PROCESSES:
        for unit in ("a_wall_second", "a_cpu_second"):
            one, other = (np.array([getattr(sample, unit) for sample in found[policy, count]]) for policy in POLICIES)
            ratios = np.sort(one / other)
            row = {
                "processes": count,
                "samples": unit.replace("_", " "),
                **{policy: float(np.median(figures)) for policy, figures in zip(POLICIES, (one, other), strict=True)},
                "ratio": float(np.median(ratios)),
                "least": float(ratios[0]),
                "most": float(ratios[-1]),
            }
            rows.append(row)
            if count == 2 or unit == "a_wall_second":
                goal = f"passive waiting is not slower ({count} at once, samples {unit.replace('_', ' ')})"
                goals.append(
                    Goal(goal, f"{row['ratio']:.3f} [{ratios[0]:.3f}, {ratios[-1]:.3f}]", row["ratio"] >= 0.98)
                )
    record("waiting_threads", rows, goals)


if __name__ == "__main__":
    main()
