"""Language models from a large one to a file of a few MB: how good are they, compared with what, and at what cost?

    python -m bench.language_models --part stories stories-rounds stories-signals --out DIR
    python -m bench.language_models --part books speed file16 books-signals books-rounds --out DIR --data BOOKS \\
        --teacher FOLDER

BOOKS holds train, validation and test.parquet (`text`, `book`, whole books held out), FOLDER is a SmolLM2 of 135M
parameters (`--teacher-note` says in the table which one, since figures depend on its training and precision). Each
part can be run apart, and resumes where it was killed; the table and the goals are of all parts run in DIR.
`file16` reads what `books` made and trains its best student's shape without a teacher; `books-signals` trains the last
round's student anew on few rows; `books-rounds` both, so that all of its arms run on the same machine. Rows are evenly
spread over their split.

`--rows` and `--epochs` (of the stage on next tokens and of the one on soft targets, the same for both rounds or two
numbers for each; 0: without that stage) say how long it takes, `--batch-sizes` and `--learning-rates` (per round) fit
it to the machine; `--parameters` and `--vocabulary` are for trying it with a tiny teacher. DIR/store may come from
another machine, such as one with a GPU, where a round was trained; `--signals-teacher` is that round's model for
`books-signals` (models/r1 of such a run), which then does without `books`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.language_arms import (
    CI,
    SPLITS,
    Given,
    Part,
    books,
    candidate_row,
    cell,
    changed,
    evaluate,
    megabytes,
    passes,
    row,
    run,
    small_student,
    step_seconds,
    subset,
    tokens,
    trained,
    with_interval,
)
from bench.language_file16 import file16
from bench.language_rounds import rounds_of_books, rounds_of_stories, stories_recipe
from bench.language_signals import signals_of_books, signals_of_stories
from bench.record import Goal, circumstances, record
from bench.trees import Tree, mapping, mappings
from edgedistill import EvaluatedRun, Results

NAME = "language_models"
BOOKS_MB = 10
SPEED_PASSES = 3


def stories(given: Given) -> Part:
    """The shipped recipe, in 4 bits as well."""
    precisions = [{"precision": name} for name in ("fp32", "int8-dynamic", "int8", "int4", "int4-gptq")]
    results = run(changed(stories_recipe(), quantize=precisions), given, "stories")
    last = results.rounds[-1]
    share = last.parameters / results.teacher.parameters
    gained = _gained(results)
    goals = [
        Goal("stories: three rounds down to <= 25% of the parameters", f"{share:.1%}", share <= 0.25),
        _within(
            results, "stories: int8 file within 1% of its torch student's bits per byte", 0.01, "int8", "int8-dynamic"
        ),
        _within(
            results, "stories: 4-bit file within 3% of its torch student's bits per byte", 0.03, "int4", "int4-gptq"
        ),
        Goal("stories: ahead of its control at equal steps outside the interval", gained[0], gained[1]),
    ]
    return Part(_table(results, given, "stories"), goals)


def books_part(given: Given) -> Part:
    """Two rounds with their controls and files."""
    tree = books(given)
    results, found = run(tree, given, "books"), evaluate(tree, given, "books")
    seconds = sum(round_.train_seconds for round_ in results.rounds)
    seconds += sum(found.training(f"{round_.id}-control").train_seconds for round_ in results.rounds)
    least = min(passes(tree, round_.id) * tokens(found, round_.id) for round_ in results.rounds)
    small = [
        candidate
        for candidate in results.measured
        if (candidate.model, candidate.precision) == (results.rounds[-1].id, "int8-dynamic")
    ]
    size = min(megabytes(results, given, "books", candidate.id) for candidate in small)
    long = "books-smollm2: at least 2 M tokens through each round, >= 40 minutes of training in all"
    goals = [
        Goal(long, f"{least / 1e6:.2f} M, {seconds / 60:.0f} minutes", least >= 2e6 and seconds >= 2400),
        Goal("books-smollm2: each round ahead of its control outside the interval", *_gained(results)),
        Goal(f"the 8M student's int8 file with tokenizer <= {BOOKS_MB} MB", f"{size:.2f} MB", size <= BOOKS_MB),
    ]
    return Part(_table(results, given, "books", found, tree), goals)


def speed(given: Given) -> Part:
    """The first round's teacher, recorded once and read three times, or run live three times, on a few rows."""
    tree = books(given)
    first, student = mappings(tree, "rounds")[0], small_student(given.teacher)
    stage = {**mappings(first, "stages")[1], "epochs": SPEED_PASSES}
    few = {**mapping(tree, "data"), "train": {"path": str(subset(given, "train", given.rows["speed"]))}}
    rows: list[Tree] = []
    speeds: dict[str, float] = {}
    for form in ("top-k", "live"):
        alone = {**first, "id": form, "student": student, "stages": [stage]}
        name = f"speed-{form}"
        found = evaluate(changed(tree, rounds=[alone], control=False, data=few, signals={"form": form}), given, name)
        count, training = tokens(found, "teacher"), found.training(form)
        seconds = training.train_seconds + step_seconds(given, [name], f"{form}-teacher-train")
        speeds[form] = SPEED_PASSES * count / seconds
        note = f"{speeds[form]:.0f} tokens/s, preparation included"
        known = {**trained(found, form), "tokens": SPEED_PASSES * count, "seconds": seconds}
        rows.append(row("books", f"{form} signals, {SPEED_PASSES} passes", **known, note=note))
    ratio = speeds["top-k"] / speeds["live"]
    goal = "tokens/s through recorded signals against a live teacher >= 3x, preparation included, at 3 passes"
    shown = f"{ratio:.2f}x ({speeds['top-k']:.0f} against {speeds['live']:.0f} tokens/s)"
    return Part(rows, [Goal(goal, shown, ratio >= 3)])


def _table(
    results: Results, given: Given, name: str, found: EvaluatedRun | None = None, tree: Tree | None = None
) -> list[Tree]:
    """Teacher, rounds, controls and files."""
    note = given.teacher_note if name == "books" else ""
    known: Tree = {"parameters": results.teacher.parameters, CI: cell(results.teacher.test), "note": note or None}
    rows = [row(name, "teacher", **known)]
    for round_ in results.rounds:
        known = {"parameters": round_.parameters, "seconds": round_.train_seconds}
        if found is not None and tree is not None:
            known = {**trained(found, round_.id), "tokens": passes(tree, round_.id) * tokens(found, round_.id)}
        gained = round_.gain and with_interval(round_.gain.value, round_.gain.low, round_.gain.high, "+")
        own = {CI: cell(round_.test), "gain over control [95% CI]": gained}
        rows.append(row(name, round_.id, **known, **own, note=f"from {round_.teacher}"))
        if round_.control is not None:
            control = {"parameters": round_.parameters, CI: cell(round_.control)}
            rows.append(row(name, f"{round_.id}-control", **control, note="the same without a teacher"))
    files = [candidate for candidate in results.measured if candidate.model != "teacher"]
    return [
        *rows,
        *(candidate_row(candidate, megabytes(results, given, name, candidate.id), name) for candidate in files),
    ]


def _gained(results: Results) -> tuple[str, bool]:
    """Each round's gain over its control, and whether all are above zero outside the interval."""
    gains = {round_.id: round_.gain for round_ in results.rounds if round_.gain is not None}
    shown = "; ".join(
        f"{name} {with_interval(difference.value, difference.low, difference.high, '+')}"
        for name, difference in gains.items()
    )
    return shown, bool(gains) and all(
        difference.low is not None and difference.low > 0 for difference in gains.values()
    )


def _within(results: Results, goal: str, share: float, *precisions: str) -> Goal:
    """The last round's best file of these precisions against its torch student."""
    last = results.rounds[-1]
    files = [
        candidate for candidate in results.measured if candidate.model == last.id and candidate.precision in precisions
    ]
    apart = {candidate.precision: candidate.test.value / last.test.value - 1 for candidate in files}
    shown = ", ".join(f"{name} {value:+.2%}" for name, value in apart.items()) or "no file was measured"
    return Goal(goal, shown, bool(apart) and min(apart.values()) <= share)


ROWS = ("TRAIN", "VALIDATION", "TEST", "SPEED", "SIGNALS", "ROUNDS")
PARTS: dict[str, Callable[[Given], Part]] = {
    "stories": stories,
    "stories-rounds": rounds_of_stories,
    "stories-signals": signals_of_stories,
    "books": books_part,
    "books-rounds": rounds_of_books,
    "speed": speed,
    "file16": file16,
    "books-signals": signals_of_books,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--teacher", type=Path, default=Path())
    parser.add_argument("--rows", nargs=6, type=int, default=[600, 40, 100, 24, 160, 160], metavar=ROWS)
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 3], help="2 numbers, or 4")
    parser.add_argument("--parameters", nargs=2, type=float, default=[])
    parser.add_argument("--vocabulary", type=int)
    parser.add_argument("--batch-sizes", nargs=2, type=int, default=[])
    parser.add_argument("--learning-rates", nargs=2, type=float, default=[])
    parser.add_argument("--signals-teacher", type=Path)
    parser.add_argument("--teacher-note", default="")
    given = parser.parse_args()
    rows = dict(zip((*SPLITS, "speed", "signals", "rounds"), given.rows, strict=True))
    places = (given.out.resolve(), given.data.resolve(), given.teacher.resolve())
    asked = Given(
        *places,
        rows,
        _epochs(given.epochs),
        tuple(given.parameters),
        given.vocabulary,
        tuple(given.batch_sizes),
        tuple(given.learning_rates),
        given.signals_teacher and given.signals_teacher.resolve(),
        given.teacher_note,
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in given.part:
        found = PARTS[name](asked)
        partial = asked.out / f"{name}.json.part"
        partial.write_text(json.dumps(asdict(found) | circumstances(NAME)), encoding="utf-8")
        os.replace(partial, asked.out / f"{name}.json")
        record(NAME, *_so_far(asked.out))


def _epochs(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Of both stages, for each of the two rounds."""
    each = {2: [*numbers, *numbers], 4: list(numbers)}.get(len(numbers))
    if each is None or max(each) < 1:
        raise SystemExit(f"--epochs: got {len(numbers)} numbers, expected 2, or 2 for each round")
    return (each[0], each[1]), (each[2], each[3])


def _so_far(out: Path) -> tuple[list[Tree], list[Goal], Tree]:
    """Rows and goals of all parts that have been run, and the command, date and machine of each, where it has them."""
    files = {name: out / f"{name}.json" for name in PARTS if (out / f"{name}.json").is_file()}
    found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
    rows = [line for part in found.values() for line in part.pop("rows")]
    goals = [Goal(**goal) for part in found.values() for goal in part.pop("goals")]
    return rows, goals, {"parts": {name: made for name, made in found.items() if made}}


if __name__ == "__main__":
    main()
