"""Our int8 files beside those of other libraries, of the same three students: how fast, how large, how accurate?

    python -m bench.quantize_peers --data DIR --minilm FOLDER --tiny FOLDER --optimum PYTHON --out DIR [--seconds 40]
        [--students 22.7M 17.4M 4.4M]

DIR holds CLINC150's train, validation and test.jsonl (`text`, `label`); the folders are all-MiniLM-L6-v2 and
splade-tiny-msmarco. The students (`bench.peers.students`) are trained once, and stay in `--out` with all
files; a killed bench resumes. Every peer reads the same trained transformers folder:

- (a) optimum-onnx: `ORTQuantizer`, dynamic, per channel, for AVX-512 VNNI and for AVX2.
- (b) sentence-transformers: `export_dynamic_quantized_onnx_model`, AVX-512 VNNI, which asks (a) for the same.
- (c) `torch.onnx.export` and `quantize_dynamic` with their defaults.
- (d) OpenVINO and `nncf.quantize(model_type=TRANSFORMER)`, calibrated on 256 training texts.
- ours: `bench.peers.own_files`, one line for each way to export.

fp32 files are those that each starts from. All files of a student are timed in one process for each number of threads,
in turns; `--seconds` is the time for each student, length and number of threads (18 blocks). Accuracy and agreement
are those of the whole test set, asked one text at a time.

Ratios are to the fastest of (a) to (c) at that length and number of threads: int8 files to int8, fp32 files to fp32.

optimum-onnx wants an older transformers than edgedistill, so it has an environment of its own, without edgedistill:

    python3.11 -m venv peer
    peer/bin/pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
    peer/bin/pip install "optimum-onnx[onnxruntime]==0.1.0" transformers==4.57.6 onnxruntime==1.32.0 scikit-learn
    peer/bin/pip install --no-deps sentence-transformers==5.7.0
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.peers.asking import ROOT, Job, ask, by_length
from bench.peers.compared import OURS, Cell, Measured, Student, ratio, row, skipped_row
from bench.peers.made_files import LISTING, MadeFile, all_bytes, read_made
from bench.peers.operator_times import in_words, shares
from bench.peers.own_files import MIXES, OwnFile, OwnFiles, make_own
from bench.peers.quantize_goals import size_goal, speed_goals
from bench.peers.students import LONGEST, STUDENTS, recipe
from bench.peers.verdicts import FIELD, Checked, verdict, verdict_goal
from bench.record import Goal, record
from edgedistill.arrays import Floats

LENGTHS, THREADS = (16, 64, 128), (1, 2)
TIMED_INPUTS = 8
"""Different inputs of each length."""


def main() -> None:
    given = arguments()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe(given.data, given.minilm, given.tiny), sort_keys=False), encoding="utf-8")
    trained = edgedistill.evaluate(str(file), out=out / "trained", store=out / "store")
    peers = {name: make_peers(trained.model_folder(STUDENTS[name]), out / name, given) for name in given.students}
    # A run times its candidates at least as long as a user's would, but in a short trial.
    own = make_own(file, LENGTHS, min(5.0, given.seconds), out / "own", out / "store")
    for name in given.students:
        write_inputs(trained, STUDENTS[name], out / name)
    students = [measured(trained, name, peers[name], own, out / name, given.seconds) for name in given.students]
    rows = [row(student, each) for student in students for each in student.files]
    rows += [skipped_row(rows[0], f"edgedistill, {system}", reason) for system, reason in own.skipped.items()]
    record("quantize_peers", rows, goals(students, own, out))


def arguments() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "minilm", "tiny", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--optimum", required=True, help="the interpreter of an environment with optimum-onnx")
    parser.add_argument("--seconds", type=float, default=40.0, help="timing of one student, length and thread count")
    parser.add_argument("--students", nargs="+", choices=list(STUDENTS), default=list(STUDENTS))
    return parser.parse_args()


def make_peers(model: Path, out: Path, given: argparse.Namespace) -> list[MadeFile]:
    """Files of all peers, made once for each trained model.

    Raises:
        SystemExit: a peer's program failed.
    """
    mark = sha256(model / "model.safetensors")
    programs: list[tuple[str, str, list[str]]] = [
        ("optimum_files", given.optimum, []),
        ("plain_onnx", sys.executable, []),
        ("nncf_files", sys.executable, [str((given.data / "train.jsonl").resolve())]),
    ]
    found = []
    for program, python, more in programs:
        folder = out / program
        source = folder / "source"
        if not ((folder / LISTING).is_file() and source.is_file() and source.read_text(encoding="utf-8") == mark):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            source.write_text(mark, encoding="utf-8")
            run_program([python, "-m", f"bench.peers.{program}", str(model), str(folder), *more], folder / "log.txt")
        found += [replace(made, file=str(folder / made.file)) for made in read_made(folder)]
    return found


def run_program(command: Sequence[str], log: Path) -> None:
    """Run a peer's program.

    Raises:
        SystemExit: it failed.
    """
    sys.stderr.write(f"{' '.join(command[1:4])}\n")
    with log.open("w", encoding="utf-8") as stream:
        ended = subprocess.run(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if ended.returncode != 0:
        last = log.read_text(encoding="utf-8").strip().splitlines()[-8:]
        raise SystemExit("\n".join([f"{command[2]} failed; {log} ends:", *last]))


def write_inputs(trained: edgedistill.EvaluatedRun, model: str, out: Path) -> None:
    """`answers.npz`: every test text; `timing.npz`: test texts strung together to each length."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trained.model_folder(model))
    texts = [str(text) for text in trained.rows("test")["text"]]
    joined = [" ".join(texts[i::TIMED_INPUTS][: LONGEST * 2]) for i in range(TIMED_INPUTS)]
    for name, asked in (("answers", {0: texts}), ("timing", dict.fromkeys(LENGTHS, joined))):
        np.savez(
            out / f"{name}.npz",
            **{
                f"{length}/{number}/{port}": array
                for length, own in asked.items()
                for number, text in enumerate(own)
                for port, array in tokenizer(
                    text, truncation=True, max_length=length or LONGEST, return_tensors="np"
                ).items()
            },
        )


def measured(
    trained: edgedistill.EvaluatedRun, name: str, peers: Sequence[MadeFile], own: OwnFiles, out: Path, seconds: float
) -> Student:
    """Ask and time all files of one student."""
    model = STUDENTS[name]
    mine = {file.system: file for file in own.files if file.student == name and file.length == LENGTHS[0]}
    made = [*peers, *(MadeFile(OURS, file.system, *_how(file)) for file in mine.values())]
    contents = {file.system: sha256(Path(file.file)) for file in made}
    spent: dict[str, dict[Cell, Floats]] = {file.system: {} for file in made}
    for threads in THREADS:
        files = {file.system: (file.runtime, file.file) for file in made}
        job = Job(files, str(out / "timing.npz"), str(out / f"timed-{threads}.npz"), threads, seconds, contents)
        for place, samples in ask(job).items():
            length, system = place.split("/", 1)
            spent[system][threads, int(length)] = samples
    tokenizer = (trained.model_folder(model) / "tokenizer.json").stat().st_size
    found, first = [], {contents[file.system]: file.system for file in reversed(made)}
    for file in made:
        asked = ask(
            Job(
                {file.system: (file.runtime, file.file)},
                str(out / "answers.npz"),
                str(out / "answers" / f"{contents[file.system][:16]}.npz"),
                threads=max(THREADS),
                seconds=None,
                contents={file.system: contents[file.system]},
            )
        )
        candidate = mine[file.system].candidate if file.system in mine else None
        found.append(
            Measured(
                file,
                candidate.file_bytes if candidate is not None else all_bytes(Path(file.file)),
                tokenizer if candidate is None or candidate.tokenizer_bytes is None else candidate.tokenizer_bytes,
                asked[file.system].argmax(axis=1).tolist(),
                spent[file.system],
                "" if first[contents[file.system]] == file.system else f"equals {first[contents[file.system]]}",
            )
        )
    return Student(
        name,
        trained.training(model).parameters,
        trained.references().values["class"].tolist(),
        trained.said(model).values["logits"].argmax(axis=1).tolist(),
        found,
    )


def _how(own: OwnFile) -> tuple[str, str, str]:
    return own.candidate.precision, own.candidate.runtime, str(own.file)


def goals(students: Sequence[Student], own: OwnFiles, out: Path) -> list[Goal]:
    """All goals, student by student, then that on verdicts."""
    mixes = tuple(f"edgedistill, {mix.name}, " for mix in MIXES)
    skipped = [reason for name, reason in own.skipped.items() if name.startswith(tuple(mix.name for mix in MIXES))]

    def limits(student: Student, file: Measured, cell: Cell) -> str:
        item = by_length(out / student.name / "timing.npz")[cell[1]][0]
        return f"{in_words(shares(file.made.runtime, Path(file.made.file), item))} at {cell[1]} tokens, 1 thread"

    found = []
    for student in students:
        mixed = [file for file in student.ours() if file.made.system.startswith(mixes)]
        found += [*speed_goals(student, limits), size_goal(student, mixed, skipped)]
    return [*found, verdict_goal(checked(students, own), f"candidates of results.json have no '{FIELD}'")]


def checked(students: Sequence[Student], own: OwnFiles) -> list[Checked]:
    """Every verdict in the results of our runs, with what the bench finds."""
    timed = {(student.name, file.made.system): file for student in students for file in student.files}
    found = []
    for file in own.files:
        said = verdict(file.candidate.model_dump())
        base = replace_precision(file, own)
        if said is None or base is None or (file.student, file.system) not in timed:
            continue
        cell = (file.candidate.threads, file.length)
        spent = timed[file.student, file.system].spent[cell], timed[file.student, base.system].spent[cell]
        found.append(Checked(f"{file.student}, {file.system} at {file.length} tokens", said, ratio(*spent)))
    return found


def replace_precision(file: OwnFile, own: OwnFiles) -> OwnFile | None:
    """The fp32 file of the same student, way to export and length; None for an fp32 file."""
    if file.candidate.precision == "fp32":
        return None
    same = (other for other in own.files if (other.student, other.variant, other.length) == _place(file))
    return next((other for other in same if other.candidate.precision == "fp32"), None)


def _place(file: OwnFile) -> tuple[str, str, int]:
    return file.student, file.variant, file.length


def sha256(file: Path) -> str:
    """Of a file's content, with OpenVINO's weights beside it."""
    found = hashlib.sha256(file.read_bytes())
    if file.suffix == ".xml":
        found.update(file.with_suffix(".bin").read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    main()
