"""Which student of which task exports to which format? Every installed task, student, target and precision.

    python -m bench.export_matrix --out DIR [--task NAME ...] [--target NAME ...] [--page]

Each student is tiny, trained for seconds on real inputs (the quickstart's sentences, scikit-learn's digits, stories),
exported to every format and verified on the whole validation set; nothing is timed. A row is one file with one runtime:
it works, is refused (with the reason), is wrong (its decisions differ from its PyTorch model's), or failed. `--page`
writes the summary into docs/targets.md. A killed bench resumes. With `--task` or `--target`, the rows of other tasks or
targets are kept; a student that was never tried has a row that says so.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from bench.record import RESULTS, Goal, record
from edgedistill.contracts import registry
from edgedistill.contracts.precision import CALIBRATED
from edgedistill.engine.local import execute
from edgedistill.errors import EdgedistillError, RecipeError
from edgedistill.exporting.candidates import Candidate
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.store.handle import Artifact
from edgedistill.store.progress import Progress
from edgedistill.store.records.files import Verified
from edgedistill.system import logs

PAGE = Path(__file__).parent.parent / "docs" / "targets.md"
BEGIN, END = "<!-- support table -->", "<!-- end of support table -->"
STATES = ("works", "refused", "wrong", "failed", "untried")
LEAST = {"fp32": 0.995}
"""Agreement below which a file is wrong; 0.985, the recipes' default, for the other precisions."""
LEAST_ELSE = 0.985
_NOT_NEEDED = frozenset({"measure", "choose", "report", "bundle"})
CALIBRATION = {"from": "train", "take": 32}
MIXES: Mapping[str, Mapping[str, str]] = {
    "mix": {"embeddings": "int4", "attention": "int8-dynamic", "feed_forward": "int4", "head": "int8-dynamic"},
    "mix-static": {"embeddings": "int8", "attention": "int8-static", "feed_forward": "int8-static"},
}
"""By name: the precision of each part."""
TEXT_TEACHER = {"layers": 2, "hidden_size": 64, "heads": 4, "intermediate_size": 128, "vocabulary": 800, "dropout": 0.1}
STUDENTS: Mapping[str, Mapping[str, object]] = {
    "keep_layers": {"layers": 1},
    "narrow": {"hidden_size": 32},
    "trim_vocabulary": {"coverage": 0.98},
    "static": {"dimensions": 32},
    "checkpoint": {},
    "scratch": {"layers": 1, "hidden_size": 32},
    "factorise": {"embedding_size": 16},
    "prune": {"parameters": 100_000},
    "shrink": {"parameters": 150_000},
}


def tasks() -> dict[str, dict[str, dict[str, object]]]:
    """The task-specific part of a recipe, by task: real data, and a teacher trained on it in seconds."""
    text, stories = (reading.shipped()[name].parent / name for name in ("quickstart", "stories"))
    few = (("train", 60), ("validation", 12), ("test", 12))
    splits = {"train": "train[:50%]", "validation": "train[50%:65%]", "test": "train[65%:80%]"}
    return {
        "text-classification": {
            "task": {"type": "text-classification", "metric": "accuracy"},
            "data": {name: {"path": str(text / f"{name}.jsonl")} for name in splits} | {"max_length": 32},
            "teacher": teacher(TEXT_TEACHER, 30),
        },
        "image-classification": {
            "task": {"type": "image-classification", "metric": "accuracy"},
            "data": {name: {"bundled": "digits", "split": split} for name, split in splits.items()},
            "teacher": teacher({"layers": 2, "hidden_size": 64}, 20),
        },
        "text-generation": {
            "task": {"type": "text-generation", "metric": "bits_per_byte"},
            "data": {name: {"path": str(stories / f"{name}.jsonl"), "split": f"train[:{count}]"} for name, count in few}
            | {"max_length": 64},
            "teacher": {"model": str(stories / "teacher")},
        },
    }


def teacher(architecture: Mapping[str, object], epochs: int) -> dict[str, object]:
    return {
        "scratch": dict(architecture),
        "fine_tune": {"epochs": epochs, "learning_rate": 2.0e-3, "batch_size": 32},
    }


def recipe(task: str, student: str, teacher_folder: Path, targets: Sequence[str] | None = None) -> dict[str, object]:
    """One round: this student, every target or these, every precision that any of them has, and mixes.
    `teacher_folder` holds the teacher that `checkpoint` starts from, where it isn't shipped."""
    given = tasks()[task]
    shipped = given["teacher"].get("model")
    start = {"model": shipped or str(teacher_folder)} if student == "checkpoint" else {"from": "teacher"}
    made: dict[str, object] = {"init": student, **start, **STUDENTS[student]}
    targets = list(targets or registry.names("exporters"))
    # A language model has none.
    mixed = registry.task(task).data.sequences is None and any(registry.target(name).mix for name in targets)
    precisions: dict[str, bool] = {}
    for name in targets:
        for precision, how in registry.target(name).precisions.items():
            precisions[precision] = precisions.get(precision, False) or how.calibrated
    stage = {
        "name": "soft-targets",
        "epochs": 10,
        "learning_rate": 2.0e-3,
        "batch_size": 32,
        "losses": [{"kind": "kl", "temperature": 2.0, "weight": 0.9}, {"kind": "hard_label", "weight": 0.1}],
    }
    return {
        "schema": "edgedistill/1",
        "name": "export-matrix",
        **given,
        "rounds": [{"id": "r1", "student": made, "stages": [stage]}],
        "control": False,
        "compute": {"device": "cpu", "precision": "fp32"},
        "export": {"targets": targets, "teacher": False, "buckets": [32]},
        "quantize": [
            {"precision": precision, **({"calibration": CALIBRATION} if calibrated else {})}
            for precision, calibrated in precisions.items()
        ]
        + [mix(name) for name in (MIXES if mixed else ())],
    }


def mix(name: str) -> dict[str, object]:
    """The line of a recipe."""
    calibration = {"calibration": CALIBRATION} if CALIBRATED in MIXES[name].values() else {}
    return {"name": name, "parts": dict(MIXES[name]), **calibration}


def rows_of(task: str, student: str, out: Path, targets: Sequence[str] | None = None) -> list[dict[str, object]]:
    """One student of one task in every format, or these."""
    if task not in tasks() or student not in STUDENTS:
        return [row(task, student, "*", "*", "*", "failed", "this bench has no data or settings for it yet")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(recipe(task, student, trained_teacher(out / task), targets)), encoding="utf-8")
        try:
            loaded = reading.load(str(file))
            plan = make_plan(loaded, fingerprints.look_up(loaded))
        except RecipeError as error:
            return [row(task, student, "*", "*", "*", "refused", _sentence(error).split("yaml: ", 1)[-1])]
    plan = replace(plan, steps=tuple(step for step in plan.steps if step.kind.name not in _NOT_NEEDED))
    (out / task).mkdir(parents=True, exist_ok=True)
    logs.show_unless_configured()
    try:
        done = execute(plan, out / task, Progress(out / task / "events.jsonl"))
    except EdgedistillError as error:
        # User errors count as refusals: this kind of student does not suit such a model.
        state = "refused" if error.exit_code == 2 else "failed"
        return [row(task, student, "*", "*", "*", state, _sentence(error.__cause__ or error)[:300])]
    verified = plan.made(done).verified
    return [judged(task, student, candidate, verified.get(candidate.verify_key)) for candidate in plan.candidates]


def trained_teacher(folder: Path) -> Path:
    """The teacher's folder from earlier students, which all share it."""
    return next((entry.resolve() for entry in folder.glob("steps/*-teacher/model")), folder)


def judged(task: str, student: str, found: Candidate, verified: Artifact[Verified] | None) -> dict[str, object]:
    """The row of one candidate: `verified` is what its step of that kind left, None where it was refused before."""
    identity = (task, student, found.target, found.precision, found.runtime)
    if verified is None:
        return row(*identity, "refused", str(found.refused))
    if verified.failure is not None:
        return row(*identity, verified.failure.state, verified.failure.reason)
    agreement = verified.record.fidelity.agreement
    least = LEAST.get(found.precision, LEAST_ELSE)
    wrong = "" if agreement >= least else f"agrees with its torch model on {agreement:.4f}, expected {least:g}"
    return row(*identity, "wrong" if wrong else "works", wrong, agreement)


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split())


def row(
    task: str,
    student: str,
    target: str,
    precision: str,
    runtime: str,
    state: str,
    reason: str,
    agreement: float | None = None,
) -> dict[str, object]:
    return {
        "task": task,
        "student": student,
        "target": target,
        "precision": precision,
        "runtime": runtime,
        "state": state,
        "agreement": agreement,
        "reason": reason,
    }


def support_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Targets against precisions, as Markdown: how many students work, and the states of the others."""
    tried = [entry for entry in rows if entry["target"] != "*"]
    precisions = list(dict.fromkeys(str(entry["precision"]) for entry in tried))
    lines = [f"| target, runtime | {' | '.join(precisions)} |", f"|---{'|---' * len(precisions)}|"]
    for target, runtime in dict.fromkeys((str(entry["target"]), str(entry["runtime"])) for entry in tried):
        cells = []
        for precision in precisions:
            own = [
                str(entry["state"])
                for entry in tried
                if (entry["target"], entry["runtime"], entry["precision"]) == (target, runtime, precision)
            ]
            cells.append(_cell(own))
        lines.append(f"| {target}, {runtime} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(states: Sequence[str]) -> str:
    if not states or set(states) == {"refused"}:
        return "-"
    others = [f"{states.count(state)} {state}" for state in STATES[1:] if state in states]
    return ", ".join([f"{states.count('works')} of {len(states)}", *others])


def with_table(page: str, rows: Sequence[Mapping[str, object]]) -> str:
    """The page's text with the table between its two markers."""
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{support_table(rows)}{END}{rest.split(END, 1)[1]}"


def with_untried(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Add a row for each missing student of each task."""
    tried = {(entry["task"], entry["student"]) for entry in rows}
    every = [(task, student) for task in registry.names("tasks") for student in registry.names("students")]
    reason = "came after this table was made"
    return [*rows, *(row(*pair, "*", "*", "*", "untried", reason) for pair in every if pair not in tried)]


def goals(rows: Sequence[Mapping[str, object]]) -> list[Goal]:
    """Whether everything was tried and nothing is broken."""
    counted = {state: sum(entry["state"] == state for entry in rows) for state in STATES}
    shown = ", ".join(f"{count} {state}" for state, count in counted.items())
    return [
        Goal("runs every task x student kind x target x precision", f"{shown}", counted["untried"] == 0),
        Goal("nothing is wrong or failed", shown, counted["wrong"] == counted["failed"] == 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--task", nargs="+", choices=registry.names("tasks"), default=registry.names("tasks"))
    parser.add_argument("--target", nargs="+", choices=registry.names("exporters"))
    parser.add_argument("--page", action="store_true", help="write the summary into docs/targets.md")
    given = parser.parse_args()
    # scratch comes first, which every task has: it leaves the teacher's folder, which `checkpoint` starts from.
    students = sorted(registry.names("students"), key=lambda name: (name != "scratch", name))
    file = RESULTS / "export_matrix.json"
    before = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else []
    made = [entry for task in given.task for name in students for entry in rows_of(task, name, given.out, given.target)]
    again = [*(given.target or registry.names("exporters")), "*"]
    kept = [entry for entry in before if entry["task"] not in given.task or entry["target"] not in again]
    rows = with_untried([*kept, *made])
    record("export_matrix", rows, goals(rows))
    if given.page:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
