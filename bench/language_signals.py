"""What a student loses by learning from some classes, the most likely or sampled ones, instead of distributions."""

from __future__ import annotations

from bench.language_arms import (
    CI,
    Given,
    Part,
    bits_per_byte,
    books,
    bytes_per_token,
    changed,
    evaluate,
    gain,
    judged,
    passes,
    row,
    subset,
    tokens,
    trained,
    with_interval,
)
from bench.language_rounds import stories_recipe
from bench.record import Goal
from bench.trees import Tree, mapping, mappings

MOST_BYTES, MOST_APART = 100, 0.005
PACKED = ("top-k", "sampled")


def signals_of_stories(given: Given) -> Part:
    """The recipe's first round, which trains a student until it is useful; whole distributions are small here."""
    tree = stories_recipe()
    return _compared(given, "stories", changed(tree, rounds=mappings(tree, "rounds")[:1]), "dense")


def signals_of_books(given: Given) -> Part:
    """The last round, on a part of the rows: its teacher is the first round's model, whose whole distributions are
    rebuilt from 16-bit states."""
    tree = books(given)
    *_, last = mappings(tree, "rounds")
    teacher = given.signals_teacher or evaluate(tree, given, "books").model_folder(str(last["teacher"])).resolve()
    alone = {**last, "teacher": "teacher", "student": {**mapping(last, "student"), "from": "teacher"}}
    data = {**mapping(tree, "data"), "train": {"path": str(subset(given, "train", given.rows["signals"]))}}
    return _compared(
        given, "books", changed(tree, rounds=[alone], data=data, teacher={"model": str(teacher)}), "hidden"
    )


def _compared(given: Given, part: str, tree: Tree, whole: str) -> Part:
    """A recipe's only student on signals of at most 100 bytes per token, and on the whole distribution.

    Args:
        whole: the form of the signals that hold it.
    """
    (round_,) = mappings(tree, "rounds")
    model = str(round_["id"])
    rows: list[Tree] = []
    found, perplexity, size = {}, {}, {}
    for form in (whole, *PACKED):
        arm, name = changed(tree, control=False, signals={"form": form}), f"{part}-{form}"
        found[form] = evaluate(arm, given, name)
        perplexity[form] = judged(found[form], model, "perplexity").value
        size[form] = bytes_per_token(arm, given, name)
        known = {**trained(found[form], model), CI: bits_per_byte(found[form], model)}
        seen = passes(arm, model) * tokens(found[form], model)
        note = f"{size[form]} bytes per token, perplexity {perplexity[form]:.3f}"
        rows.append(row(f"{part}-signals", f"student on {form}", **known, tokens=seen, note=note))
    goal = f"{part}: <= {MOST_BYTES} bytes per token, held-out perplexity within {MOST_APART:.1%} of dense targets"
    shown, met = [], False
    for form in PACKED:
        apart = perplexity[form] / perplexity[whole] - 1
        paired = gain(found[form], model, found[whole], model)
        ahead = with_interval(paired.gain, paired.interval.low, paired.interval.high, "+")
        shown.append(f"{form} {apart:+.2%} at {size[form]} bytes per token (better by {ahead} bits per byte)")
        met |= size[form] <= MOST_BYTES and abs(apart) <= MOST_APART
    return Part(rows, [Goal(goal, "; ".join(shown), met)])
