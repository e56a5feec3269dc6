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


def file16(given: Given) -> Part:
    """The best file of `books` within 16 MB, compared with the teacher in 4 bits, with the same student trained without
    a teacher, and with its shape trained from random weights on as many tokens as all rounds together."""
    tree = books(given)
    results, found = run(tree, given, "books"), evaluate(tree, given, "books")
    goal = f"The best text-in, text-out file within {MOST_MB} MB, tokenizer included: bits per byte on books test"
    best = _best_file(results, given)
    if best is None:
        return Part([row("file16", "no candidate fits")], [Goal(goal, "no file is so small", False)])
    size = megabytes(results, given, "books", best.id)
    rows = [candidate_row(best, size, "file16", "the best by validation"), _teacher_in_4_bits(given, tree)]
    control = next(round_.control for round_ in results.rounds if round_.id == best.model)
    if control is not None:
        own = {CI: cell(control)}
        rows.append(row("file16", f"{best.model}-control", **own, note="cut alike, without a teacher"))
    alone, better = _without_teacher(given, tree, found, best)
    beside = "; ".join(f"{entry['model']} {entry[CI]}" for entry in [*rows[1:], alone[-1]])
    reported = Goal(goal, f"{best.id} {rows[0][CI]} in {size:.2f} MB; {beside}", True)
    return Part([*rows, *alone], [reported, better])


def _best_file(results: Results, given: Given) -> CandidateResult | None:
    """The best by validation of those within the limit."""
    small = [candidate for candidate in results.measured if megabytes(results, given, "books", candidate.id) <= MOST_MB]
    return min(small, key=lambda candidate: candidate.validation.value, default=None)


def _without_teacher(given: Given, tree: Tree, rounds: EvaluatedRun, best: CandidateResult) -> tuple[list[Tree], Goal]:
    """The best file's shape, trained on next tokens alone from random weights, in PyTorch and as such a file."""
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
        "books: the best file's student is better than its shape trained without a teacher on as many tokens",
        f"{with_interval(better.gain, better.interval.low, better.interval.high, '+')} bits per byte, "
        f"{count / 1e6:.2f} M tokens each",
        better.interval.low > 0,
    )
    rows = [
        row("file16", "no teacher", **known, note="the same shape, from random weights"),
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
