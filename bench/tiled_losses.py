"""What do tiles cost and save? Losses over a vocabulary from hidden states and the output head, tile by tile as models
learn here, beside the same losses on the logits of all decisions at once.

    python -m bench.tiled_losses [--sizes 1024x32000 4096x49152 8192x131072] [--hidden 256] [--losses kl ...]
        [--device cpu]

Each arm is a process of its own: forward and backward of one loss, on random states. The second of two passes is timed
(the only one from 2^27 logits on), in CPU seconds of one thread, since other work may share the machine (on a GPU in
seconds). Memory is the peak above the inputs: teacher and student states and heads, and of a dense teacher its logits.
Where all logits at once need more than `--limit-gb`, the naive arm is left out: its memory is what the largest size ran
with took for each logit, and gradients and time are compared with plain autograd that adds up pieces of 256 decisions.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.record import Goal, record

if TYPE_CHECKING:
    import torch

    from edgedistill.contracts.distribution import Distribution, HiddenAndHead

SIZES = ("1024x32000", "4096x49152", "8192x131072")
EVERY = (("kl", "hidden"), ("hard_label", "none"))
"""At all sizes; the others at the first."""
FIRST = (("kl", "dense"), ("kl", "top-k"), ("reverse_kl", "hidden"), ("skew_kl", "hidden"), ("jsd", "hidden"))
PIECE = 256
MEMORY = "peak memory <= 12% of the naive loss at 8k tokens x 128k words"
GRADIENT = "gradients equal to 1e-5"
SPEED = "not slower on the CPU"


@dataclass(frozen=True)
class Arm:
    """One loss on one form of the teacher at one size, in one way."""

    loss: str
    form: str
    tokens: int
    vocabulary: int
    hidden: int
    device: str

    def run(self, way: str, gradients: Path) -> dict[str, float]:
        """Peak bytes and seconds, as a process of its own found them."""
        words = [*map(str, vars(self).values()), way, str(gradients)]
        command = [sys.executable, "-m", "bench.tiled_losses", "--arm", *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def child(arm: Arm, way: str, gradients: Path) -> None:
    """Run one arm and print what it took."""
    import torch

    from edgedistill.contracts import registry
    from edgedistill.contracts.loss import LossInputs
    from edgedistill.contracts.model_shape import ModelShape

    torch.set_num_threads(1)
    plugin, shape = registry.loss(arm.loss), ModelShape(1, arm.hidden)
    term = plugin.build(plugin.spec(kind=arm.loss), shape, shape)
    own, teacher, right = material(arm)

    def loss(part: slice) -> torch.Tensor:
        said = own.part(part)
        student = said if way == "tiled" else said.dense()
        tokens = right[part]
        every = torch.ones(len(tokens), 1, device=arm.device)
        return term(
            LossInputs(
                student,
                every[:, 0].bool(),
                every,
                teacher=teacher.part(part) if teacher is not None else None,
                right_R=tokens,
                own_losses=lambda smoothing: torch.nn.functional.cross_entropy(
                    student.dense().logits_RC, tokens, reduction="none"
                ),
            )
        )

    def once() -> None:
        own.hidden_RH.grad = own.weight_CH.grad = None
        if way != "pieces":
            loss(slice(None)).backward()
            return
        for first in range(0, arm.tokens, PIECE):
            part = slice(first, first + PIECE)
            (loss(part) * len(right[part]) / arm.tokens).backward()

    passes = 1 if arm.tokens * arm.vocabulary >= 1 << 27 else 2
    peak, seconds = measured(once, arm.device, passes)
    grads = (own.hidden_RH.grad, own.weight_CH.grad)
    with gradients.open("wb") as file:
        for gradient in grads:
            assert gradient is not None
            np.save(file, gradient.float().cpu().numpy())
    print(json.dumps({"peak": peak, "seconds": seconds}))


def material(arm: Arm) -> tuple[HiddenAndHead, Distribution | None, torch.Tensor]:
    """Student, teacher, and next tokens: heads whose logits have a standard deviation of 3."""
    import torch

    from edgedistill.contracts.distribution import HiddenAndHead, concatenated, top_k

    generator = torch.Generator().manual_seed(0)

    def states() -> HiddenAndHead:
        hidden = torch.randn(arm.tokens, arm.hidden, generator=generator)
        weight = torch.randn(arm.vocabulary, arm.hidden, generator=generator) * 3 / arm.hidden**0.5
        return HiddenAndHead(hidden.to(arm.device), weight.to(arm.device))

    own, said = states(), states()
    right = torch.randint(arm.vocabulary, (arm.tokens,), generator=generator).to(arm.device)
    for tensor in (own.hidden_RH, own.weight_CH):
        tensor.requires_grad_()
    pieces = [said.part(slice(first, first + PIECE)) for first in range(0, arm.tokens, PIECE)]
    if arm.form == "dense":
        return own, said.dense(), right
    if arm.form == "top-k":
        return own, concatenated([top_k(piece.dense().logits_RC, 40, (1.0, 2.0)) for piece in pieces]), right
    return own, said if arm.form == "hidden" else None, right


def measured(once: Callable[[], None], device: str, passes: int) -> tuple[float, float]:
    """(peak bytes above what was there, seconds of the last pass)."""
    import torch

    if device == "cuda":
        before = float(torch.cuda.memory_allocated())
        torch.cuda.reset_peak_memory_stats()
        for _ in range(passes):
            torch.cuda.synchronize()
            begun = time.perf_counter()
            once()
            torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before, time.perf_counter() - begun
    ctypes.CDLL(None).malloc_trim(0)  # what making the inputs left behind would hide a part of the peak
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    for _ in range(passes):
        begun = time.process_time()
        once()
    return memory("VmHWM") - before, time.process_time() - begun


def memory(field: str) -> float:
    """Bytes, by the process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def compare(arm: Arm, limit_gb: float, known: dict[str, float]) -> dict[str, object]:
    """One row; `known` has the naive bytes a logit of each loss and form at the largest size that ran."""
    logits = arm.tokens * arm.vocabulary
    name = f"{arm.loss} {arm.form}"
    a_logit = known.get(name, 32.0)
    with tempfile.TemporaryDirectory() as folder:
        files = {way: Path(folder) / f"{way}.npy" for way in ("naive", "tiled", "pieces")}
        reference = "naive" if a_logit * logits <= limit_gb * 1e9 else "pieces"
        other, own = arm.run(reference, files[reference]), arm.run("tiled", files["tiled"])
        errors = difference(files[reference], files["tiled"])
    if reference == "naive":
        known[name] = other["peak"] / logits
    peak = other["peak"] if reference == "naive" else a_logit * logits
    return {
        "tokens": arm.tokens,
        "vocabulary": arm.vocabulary,
        "loss": arm.loss,
        "signals": arm.form,
        "beside": reference,
        "naive_mb": peak / 1e6,
        "naive_mb_is": "measured" if reference == "naive" else f"expected, {a_logit:.1f} bytes a logit",
        "tiled_mb": own["peak"] / 1e6,
        "memory_ratio": own["peak"] / peak,
        "seconds_beside": other["seconds"],
        "seconds_tiled": own["seconds"],
        "time_ratio": own["seconds"] / other["seconds"],
        "gradient_error": errors,
    }


def difference(first: Path, second: Path) -> float:
    """The largest difference between gradients, of the states and of the head, by the largest entry of each."""
    found = []
    with first.open("rb") as one, second.open("rb") as other:
        for _ in range(2):
            expected, own = np.load(one), np.load(other)
            found.append(float(np.abs(expected - own).max() / np.abs(expected).max()))
    return max(found)


def goals(rows: Sequence[dict[str, object]], *, on_cpu: bool) -> list[Goal]:
    """Those of the losses, by the rows."""

    def all_of(key: str, chosen: Sequence[dict[str, object]]) -> list[float]:
        return [float(str(row[key])) for row in chosen]

    largest = [row for row in rows if row["tokens"] == rows[-1]["tokens"]]
    times = all_of("time_ratio", rows)
    ratio, error = max(all_of("memory_ratio", largest)), max(all_of("gradient_error", rows))
    how = "; ".join(f"{row['loss']} {row['naive_mb_is']}" for row in largest)
    return [
        Goal(MEMORY, f"at most {ratio:.1%} (naive: {how})", ratio <= 0.12),
        Goal(GRADIENT, f"largest difference {error:.1e} of the largest entry", error <= 1e-5),
        *([Goal(SPEED, f"{min(times):.2f} to {max(times):.2f} times the seconds", max(times) <= 1)] if on_cpu else []),
    ]


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="python -m bench.tiled_losses", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--losses", nargs="+", default=sorted({loss for loss, _ in (*EVERY, *FIRST)}))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--limit-gb", type=float, default=8.0)
    parser.add_argument("--arm", nargs=8, help=argparse.SUPPRESS)
    chosen = parser.parse_args(words)
    if chosen.arm is not None:
        loss, form, tokens, vocabulary, hidden, device, way, file = chosen.arm
        child(Arm(loss, form, int(tokens), int(vocabulary), int(hidden), device), way, Path(file))
        return
    sizes = [tuple(map(int, size.split("x"))) for size in chosen.sizes]
    known: dict[str, float] = {}
    rows = []
    for number, (tokens, vocabulary) in enumerate(sizes):
        for loss, form in (*EVERY, *(FIRST if number == 0 else ())):
            if loss not in chosen.losses:
                continue
            row = compare(Arm(loss, form, tokens, vocabulary, chosen.hidden, chosen.device), chosen.limit_gb, known)
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    on_cpu = chosen.device == "cpu"
    record("tiled_losses" if on_cpu else f"tiled_losses-{chosen.device}", rows, goals(rows, on_cpu=on_cpu))


if __name__ == "__main__":
    main()
