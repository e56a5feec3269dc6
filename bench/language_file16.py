"""The best file of a language model of a few MB, beside its teacher in 4 bits and the same shape without a teacher."""

from __future__ import annotations

from bench.language_arms import (
    CI,
    SPLITS,
    Given,
    Part,
    bits_per_byte,
    books,
    candidate_row,
    cell,
    changed,
    evaluate,
    gain,
    megabytes,
    passes,
    plain_copy,
    row,
    run,
    subset,
    tokens,
    trained,
    with_interval,
)
from bench.language_rounds import from_scratch
from bench.record import Goal
from bench.trees import Tree, mapping
from edgedistill import EvaluatedRun, Results
from edgedistill.evaluation.results_candidates import CandidateResult

MOST_MB = 16
_ALONE = "trained without a teacher"


def file16(given: Given) -> Part:
    """The best file of `books` within 16 MB, compared with the teacher in 4 bits and with the same student trained
    without a teacher; the last round's shape from random weights, on as many tokens as all rounds together."""
    tree = books(given)
    results, found = run(tree, given, "books"), evaluate(tree, given, "books")
    goal = f"The best text-in, text-out file within {MOST_MB} MB, tokenizer included: bits per byte on books test"
    best, last = _best_file(results, given), _best_file(results, given, results.rounds[-1].id)
    if best is None or last is None:
        return Part([row("file16", "no candidate fits")], [Goal(goal, "no file is so small", False)])
    size = megabytes(results, given, "books", best.id)
    rows = [candidate_row(best, size, "file16", "the best by validation"), _teacher_in_4_bits(given, tree)]
    student = next(round_ for round_ in results.rounds if round_.id == best.model)
    goals = []
    if student.control is not None and student.gain is not None:
        own, gained = {CI: cell(student.control)}, student.gain
        rows.append(row("file16", f"{best.model}-control", **own, note="cut alike, without a teacher"))
        shown = with_interval(gained.value, gained.low, gained.high, "+")
        ahead = gained.low is not None and gained.low > 0
        goals.append(
            Goal(f"books: the best file's student is better than its shape {_ALONE} for as long", shown, ahead)
        )
    alone, better = _from_random_weights(given, tree, found, last)
    if last != best:
        size_of_last = megabytes(results, given, "books", last.id)
        alone = [candidate_row(last, size_of_last, "file16", "the last round's best"), *alone]
    beside = "; ".join(f"{entry['model']} {entry[CI]}" for entry in [*rows[1:], *alone])
    blocked = f" (blocked: {', '.join(best.blocked_by)})" if best.blocked_by else ""
    reported = Goal(goal, f"{best.id} {rows[0][CI]} in {size:.2f} MB{blocked}; {beside}", True)
    return Part([*rows, *alone], [reported, *goals, better])


def _best_file(results: Results, given: Given, model: str | None = None) -> CandidateResult | None:
    """The best by validation of those within the limit, of all models or one."""
    small = [
        candidate
        for candidate in results.measured
        if model in (None, candidate.model) and megabytes(results, given, "books", candidate.id) <= MOST_MB
    ]
    return min(small, key=lambda candidate: candidate.validation.value, default=None)


def _from_random_weights(
    given: Given, tree: Tree, rounds: EvaluatedRun, best: CandidateResult
) -> tuple[list[Tree], Goal]:
    """A file's shape, trained on next tokens alone from random weights, in PyTorch and as such a file."""
    models = [round_.id for round_ in rounds.recipe.rounds]
    models = models[: models.index(best.model) + 1]
    seen = {model: passes(tree, model) * tokens(rounds, model) for model in models}
    shape = rounds.model_folder(best.model).resolve()
    epochs = round(sum(seen.values()) / tokens(rounds, best.model))
    recipe = changed(from_scratch(tree, shape, epochs), quantize=[{"precision": best.precision}])
    results, found = run(recipe, given, "file16-no-teacher"), evaluate(recipe, given, "file16-no-teacher")
    (file,) = results.measured
    count = epochs * tokens(found, "one")
    known = {**trained(found, "one"), "tokens": count, CI: bits_per_byte(found, "one")}
    size = megabytes(results, given, "file16-no-teacher", file.id)
    better = gain(rounds, best.model, found, "one")
    goal = Goal(
        f"books: the last round's student is better than its shape {_ALONE} on as many tokens as all rounds",
        f"{with_interval(better.gain, better.interval.low, better.interval.high, '+')} bits per byte, "
        f"{count / 1e6:.2f} M tokens each",
        better.interval.low > 0,
    )
    rows = [
        row("file16", "no teacher", **known, note=f"the shape of {best.model}, from random weights"),
        {**candidate_row(file, size, "file16"), "model": f"no teacher/{best.target}/{best.precision}/{best.runtime}"},
    ]
    return rows, goal


def _teacher_in_4_bits(given: Given, tree: Tree) -> Tree:
    """SmolLM2 as GGUF Q4_0, dequantized and evaluated in PyTorch like every other model."""
    few = {**mapping(tree, "data"), "train": {"path": str(subset(given, "train", 2))}}
    stage = {"name": "s", "epochs": 1, "batch_size": 2, "losses": [{"kind": "hard_label"}]}
    trivial = [{"id": "none", "student": {"init": "keep_layers", "layers": 1}, "stages": [stage]}]
    small = {split: {"path": str(subset(given, split, 2))} for split in SPLITS}
    made = changed(
        tree,
        data={**mapping(tree, "data"), **small},
        rounds=trivial,
        control=False,
        signals={"form": "dense"},
        teacher={**mapping(tree, "teacher"), "accept_chance": True},  # two rows are too few
        export={"targets": ["gguf"], "teacher": True},
        quantize=[{"precision": "int4"}],
        select={},
    )
    run(made, given, "teacher-gguf")
    # The one-layer student has one too.
    file = max(given.store.rglob("model-Q4_0.gguf"), key=lambda path: path.stat().st_size)
    folder = plain_copy(given.teacher, file, given.out / "teacher-q4_0")
    arm = changed(tree, teacher={"model": str(folder)}, data=few, rounds=trivial, control=False, signals={})
    found = evaluate(arm, given, "teacher-q4_0-run")
    size = file.stat().st_size / 1e6
    own = {CI: bits_per_byte(found, "teacher")}
    return row("file16", "teacher in GGUF Q4_0", MB=size, **own, note="torch, dequantized")
