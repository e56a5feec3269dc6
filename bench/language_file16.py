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
    """The best file of `books` within 16 MB, compared with the teacher in 4 bits and with its shape trained without a
    teacher, cut alike and from random weights; the same of the last round's best."""
    tree = books(given)
    results, found = run(tree, given, "books"), evaluate(tree, given, "books")
    goal = (
        f"The best text-in, text-out file within {MOST_MB} MB, tokenizer included, beside such a file without a teacher"
    )
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
    alone, worse, better = _from_random_weights(given, tree, found, best)
    goals.append(better)
    if last.model != best.model:
        size_of_last = megabytes(results, given, "books", last.id)
        alone.append(candidate_row(last, size_of_last, "file16", "the last round's best"))
        alone_of_last, _, better = _from_random_weights(given, tree, found, last)
        alone += alone_of_last
        goals.append(better)
    beside = "; ".join(f"{entry['model']} {entry[CI]}" for entry in [*rows[1:], *alone])
    blocked = f" (blocked: {', '.join(best.blocked_by)})" if best.blocked_by else ""
    reported = Goal(
        goal, f"{best.id} {rows[0][CI]} in {size:.2f} MB{blocked}; {beside}", best.test.value < worse.test.value
    )
    return Part([*rows, *alone], [reported, *goals])


def _best_file(results: Results, given: Given, model: str | None = None) -> CandidateResult | None:
    """The best by validation of those within the limit, of all models or one."""
    small = [
        candidate
        for candidate in results.measured
        if model in (None, candidate.model) and megabytes(results, given, "books", candidate.id) <= MOST_MB
    ]
    return min(small, key=lambda candidate: candidate.validation.value, default=None)


def _from_random_weights(
    given: Given, tree: Tree, rounds: EvaluatedRun, candidate: CandidateResult
) -> tuple[list[Tree], CandidateResult, Goal]:
    """A file's shape, trained from random weights on next tokens alone, in the same arithmetic and on as many tokens as
    all rounds up to it; in PyTorch and as such a file."""
    model = candidate.model
    models = [round_.id for round_ in rounds.recipe.rounds]
    models = models[: models.index(model) + 1]
    seen = sum(passes(tree, one) * tokens(rounds, one) for one in models)
    epochs = round(seen / tokens(rounds, model))
    recipe = from_scratch(tree, rounds.model_folder(model).resolve(), model, epochs)
    in_bf16 = "bf16" in str(trained(rounds, model)["trained on"])
    compute = {"compute": {"precision": "bf16"}} if in_bf16 else {}
    recipe = changed(recipe, quantize=[{"precision": candidate.precision}], **compute)
    name = f"file16-no-teacher-{model}"
    results, found = run(recipe, given, name), evaluate(recipe, given, name)
    (file,) = results.measured
    count = epochs * tokens(found, "one")
    known = {**trained(found, "one"), "tokens": count, CI: bits_per_byte(found, "one")}
    size = megabytes(results, given, name, file.id)
    better = gain(rounds, model, found, "one")
    goal = Goal(
        f"books: {model} is better than its shape {_ALONE}, from random weights, on as many tokens as all rounds to it",
        f"{with_interval(better.gain, better.interval.low, better.interval.high, '+')} bits per byte, "
        f"{count / 1e6:.2f} M tokens each",
        better.interval.low > 0,
    )
    shown = f"{model}'s shape, no teacher"
    rows = [
        row("file16", shown, **known, note="from random weights"),
        {**candidate_row(file, size, "file16"), "model": f"{shown}/{file.target}/{file.precision}/{file.runtime}"},
    ]
    return rows, file, goal


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
    note = "; ".join(filter(None, ("torch, dequantized", given.teacher_note)))
    return row("file16", "teacher in GGUF Q4_0", MB=size, **own, note=note)
