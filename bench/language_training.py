"""Speed, memory and loss of distilling a language model by soft targets: edgedistill beside TRL.

    python -m bench.language_training --teacher FOLDER --data PARQUET --out DIR [--device cuda] [--batch 32]
        [--length 512] [--turns 6] [--steps 12] [--arms trl live ...]

Arms:

- `trl`: TRL's `GKDTrainer`, off-policy (`lmbda=0`, `seq_kd=False`), with forward KL (`beta=0`, temperature 1).
- `trl-liger`: the same with `use_liger_kernel` (TRL 1.16 has Liger's kernels for the student's layers, none for this
  loss).
- `trl-chunked`: the same trainer with the chunked divergence that TRL offers in its on-policy `DistillationTrainer`
  only: a few lines of `bench/peers/trl_gkd.py` put them together.
- `live`: edgedistill's training loop, tiled `kl`, with the teacher in the loop.
- `recorded`: the same from the teacher's hidden states (16 bits), recorded before; the time that recording takes is
  given apart, and in `tokens/s, 3 passes` a third of it counts for each pass.

All start from the same student (about 27M parameters and all of the teacher's tokens; random weights, a fixed seed) and
see the same batches of `--batch` sequences in the same order. All train in bf16 by autocast over fp32 weights, with
fused AdamW, a cosine without warm-up, gradients clipped at norm 1, without gradient checkpointing. A teacher FOLDER
without weights gives a teacher of random weights of that shape, with logits of a standard deviation of about 3.

Each arm is a process of its own; they take turns of `--steps` steps. The first turn warms up, and of each further one
all steps but the first two are timed. Ratios are of turns that follow each other. MFU counts operations by formula
(`bench/peers/language_work.py`), of the best product of two large bf16 matrices in this run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.peers.step_job import UNTIMED, StepJob, Stepped
from bench.peers.turns import Program, run_in_turns
from bench.record import RESULTS, Goal, record
from edgedistill.arrays import Floats, Integers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ARMS = {
    "trl": ("TRL GKDTrainer", "trl_gkd"),
    "trl-liger": ("TRL GKDTrainer, use_liger_kernel", "trl_gkd"),
    "trl-chunked": ("TRL GKDTrainer, its chunked divergence", "trl_gkd"),
    "live": ("edgedistill, live teacher", "edgedistill_soft_targets"),
    "recorded": ("edgedistill, recorded states", "edgedistill_soft_targets"),
}
GPU_ONLY = ("trl-liger",)
REFERENCE = "trl"
PASSES = 3
WINDOW = 10
"""Steps whose losses are averaged before curves are compared."""
LOGIT_DEVIATION = 3.0
"""Of a teacher of random weights."""
STUDENT = {"hidden_size": 384, "num_hidden_layers": 5, "num_attention_heads": 6, "num_key_value_heads": 2}
FEED_FORWARD = 1024


@dataclass(frozen=True)
class Arm:
    """One system's findings."""

    name: str
    found: Stepped
    tokens_a_turn: int
    operations: float
    """A token."""

    @property
    def speeds(self) -> Floats:
        """(turns - 1,) tokens per second."""
        return self.tokens_a_turn / np.array(self.found.seconds[1:])

    @property
    def speed(self) -> float:
        """In the median turn."""
        return float(np.median(self.speeds))

    def of_passes(self, trained: int) -> float:
        """Tokens per second with the recording of all `trained` tokens, which serves three passes."""
        return 1 / (1 / self.speed + self.found.recording_seconds / (PASSES * trained))

    @property
    def curve(self) -> Floats:
        """The loss over the steps, averaged over a window."""
        return np.convolve(self.found.losses, np.full(WINDOW, 1 / WINDOW), mode="valid")


def main(words: Sequence[str] | None = None) -> None:
    """Run the arms and record."""
    given = arguments(words)
    given.out.mkdir(parents=True, exist_ok=True)
    peak, operations, about = prepare(given)
    jobs = {name: job(given, name) for name in given.arms}
    programs = []
    for name, own in jobs.items():
        shutil.rmtree(own.folder(), ignore_errors=True)  # finished signals and epochs would not be made again
        own.folder().mkdir(parents=True)
        (own.folder() / "job.json").write_text(json.dumps(asdict(own)), encoding="utf-8")
        programs.append(Program(ARMS[name][0], ARMS[name][1], sys.executable, own.folder() / "job.json"))
    run_in_turns(programs, load_together=True)
    timed = given.batch * given.length * (given.steps - UNTIMED)
    arms = {
        name: Arm(ARMS[name][0], read(own), timed, operations["recorded" if name == "recorded" else "live"])
        for name, own in jobs.items()
    }
    trained = given.batch * given.length * given.steps * given.turns
    rows = [row(arm, arms[REFERENCE], trained, peak) for arm in arms.values()]
    name = "language_training" if given.device == "cuda" else f"language_training-{given.device}"
    curves = {arm.name: [round(loss, 5) for loss in arm.found.losses] for arm in arms.values()}
    about |= {"versions": {arm.name: arm.found.versions for arm in arms.values()}, "operations per token": operations}
    record(name, rows, goals(arms, trained), {"setting": about, "losses": curves})
    draw(arms, RESULTS.parent / f"{name}.png")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.language_training", description=__doc__)
    for name in ("teacher", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--batch", type=int, default=32, help="sequences per step")
    parser.add_argument("--length", type=int, default=512, help="tokens of a sequence")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--steps", type=int, default=12, help="steps per turn")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", nargs="+", choices=ARMS, help="default: all that the device can run")
    parser.add_argument("--layers", type=int, default=STUDENT["num_hidden_layers"], help="of the student")
    parser.add_argument("--matrix", type=int, default=8192, help="rows of the matrices whose product is the peak")
    given = parser.parse_args(words)
    given.arms = given.arms or [name for name in ARMS if given.device != "cpu" or name not in GPU_ONLY]
    if REFERENCE not in given.arms:
        parser.error(f"--arms: expected '{REFERENCE}' among them: the others are compared with it")
    if given.turns < 2 or given.steps <= UNTIMED:
        parser.error(f"expected at least 2 --turns and {UNTIMED + 1} --steps: the first ones are not timed")
    return given


def job(given: argparse.Namespace, arm: str) -> StepJob:
    """What an arm is to do."""
    out = given.out.resolve()
    return StepJob(
        tokens=str(out / "tokens.npy"),
        teacher=str(out / "teacher"),
        student=str(out / "student"),
        out=str(out / arm),
        arm=arm,
        device=given.device,
        batch=given.batch,
        turns=given.turns,
        steps_per_turn=given.steps,
        learning_rate=given.learning_rate,
        seed=given.seed,
    )


def prepare(given: argparse.Namespace) -> tuple[float, dict[str, float], dict[str, object]]:
    """Write tokens, teacher and student.

    Returns:
        (the device's operations per second, each arm's operations per token, facts about the run).
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from bench.peers.language_work import peak_flops, work

    tokenizer = AutoTokenizer.from_pretrained(given.teacher)
    count = given.batch * given.steps * given.turns
    np.save(given.out / "tokens.npy", sequences(texts(given.data), tokenizer, count, given.length))
    torch.manual_seed(given.seed)
    weights = bool(list(given.teacher.glob("*.safetensors")))
    config = AutoConfig.from_pretrained(given.teacher)
    if weights:
        teacher = AutoModelForCausalLM.from_pretrained(given.teacher, dtype=torch.float32)
    else:
        teacher = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        head = teacher.get_output_embeddings().weight
        torch.nn.init.normal_(head, std=LOGIT_DEVIATION / config.hidden_size**0.5)
    smaller = type(config).from_dict(
        {
            **config.to_dict(),
            **STUDENT,
            "num_hidden_layers": given.layers,
            "head_dim": STUDENT["hidden_size"] // STUDENT["num_attention_heads"],
            "intermediate_size": FEED_FORWARD,
        }
    )
    student = AutoModelForCausalLM.from_config(smaller, dtype=torch.float32)
    for name, model in (("teacher", teacher), ("student", student)):
        model.save_pretrained(given.out / name)
        tokenizer.save_pretrained(given.out / name)
    found = work(student, teacher, given.length)
    peak = peak_flops(given.device, given.matrix)
    about = {
        "device": torch.cuda.get_device_name() if given.device == "cuda" else given.device,
        "peak TFLOP/s": peak / 1e12,
        "student": student.num_parameters(),
        "teacher": teacher.num_parameters(),
        "teacher weights": "given" if weights else "random",
        "tokens per step": given.batch * given.length,
    }
    if given.device == "cuda":
        torch.cuda.empty_cache()
    return peak, {"live": found.live, "recorded": found.recorded}, about


def texts(file: Path) -> Iterator[str]:
    """The column `text` of a Parquet file."""
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=64, columns=["text"]):
        yield from batch.column(0).to_pylist()


def sequences(found: Iterator[str], tokenizer: PreTrainedTokenizerBase, count: int, length: int) -> Integers:
    """(count, length) tokens of consecutive texts, each followed by the end of text.

    Raises:
        SystemExit: the texts are too short.
    """
    ids: list[int] = []
    for text in found:
        ids += [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        if len(ids) >= count * length:
            return np.array(ids[: count * length], np.int64).reshape(count, length)
    raise SystemExit(f"--data: has {len(ids)} tokens, expected {count * length} for these steps")


def read(own: StepJob) -> Stepped:
    """An arm's result."""
    return Stepped(**json.loads((own.folder() / "result.json").read_text(encoding="utf-8")))


def row(arm: Arm, reference: Arm, trained: int, peak: float) -> dict[str, object]:
    """Its figures beside the reference's."""
    ratios = arm.speeds / reference.speeds
    recording = arm.found.recording_seconds
    return {
        "arm": arm.name,
        "tokens/s": round(arm.speed),
        "tokens/s by turn": [round(float(speed)) for speed in arm.speeds],
        "ratio to TRL": float(np.median(ratios)),
        "ratio, least and most": [float(ratios.min()), float(ratios.max())],
        "recording s": recording or None,
        "recording tokens/s": round(trained / recording) if recording else None,
        "tokens/s, 3 passes": round(arm.of_passes(trained)),
        "MFU": arm.speed * arm.operations / peak,
        "peak GB": arm.found.peak_bytes / 1e9,
        "last loss": float(arm.curve[-1]),
        "largest difference of curves": apart(arm, reference),
    }


def apart(one: Arm, other: Arm) -> float:
    """The largest relative difference between the smoothed losses."""
    return float(np.abs(one.curve / other.curve - 1).max())


def goals(arms: Mapping[str, Arm], trained: int) -> list[Goal]:
    """Each of edgedistill's arms against TRL as it comes, and against its fastest."""
    found = []
    peers = [arm for name, arm in arms.items() if name.startswith("trl")]
    fastest = max(peers, key=lambda arm: arm.speed)
    for name in ("live", "recorded"):
        if name not in arms:
            continue
        own = arms[name]
        speed, including = own.of_passes(trained), ", recording included at 3 passes" if name == "recorded" else ""
        for peer in [arms[REFERENCE], *([fastest] if fastest is not arms[REFERENCE] else [])]:
            measured = f"{speed:.0f} tokens/s{including}, against {peer.speed:.0f}: {speed / peer.speed:.2f}x"
            found.append(Goal(f"{own.name}: at least as fast as {peer.name}", measured, speed >= peer.speed))
        memory = f"{own.found.peak_bytes / 1e9:.2f} GB against {arms[REFERENCE].found.peak_bytes / 1e9:.2f}"
        less = own.found.peak_bytes <= arms[REFERENCE].found.peak_bytes
        found.append(Goal(f"{own.name}: no more memory than {arms[REFERENCE].name}", memory, less))
        difference = apart(own, arms[REFERENCE])
        found.append(
            Goal(f"{own.name}: the curve of {arms[REFERENCE].name} within 1%", f"{difference:.2%}", difference <= 0.01)
        )
    return found


def draw(arms: Mapping[str, Arm], file: Path) -> None:
    """The curves."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), dpi=90)
    for arm in arms.values():
        axes.plot(arm.found.losses, label=arm.name, linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("KL(teacher || student), nats per token")
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
