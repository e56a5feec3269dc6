"""What a student of `stories` loses by learning from packed top-k signals instead of whole distributions."""

from __future__ import annotations

from bench.language_arms import (
    Given,
    Part,
    bytes_per_token,
    changed,
    evaluate,
    gain,
    judged,
    row,
    trained,
    with_interval,
)
from bench.language_rounds import stories_recipe
from bench.record import Goal
from bench.trees import Tree, mappings

MOST_BYTES, MOST_APART = 100, 0.005


def signals_of_stories(given: Given) -> Part:
    """The recipe's first round, which trains a student until it is useful, on both forms."""
    tree = stories_recipe()
    first = mappings(tree, "rounds")[0]
    rows: list[Tree] = []
    found, perplexity, size = {}, {}, {}
    for form in ("dense", "top-k"):
        arm = changed(tree, rounds=[first], control=False, signals={"form": form})
        name = f"stories-{form}"
        found[form] = evaluate(arm, given, name)
        model = str(first["id"])
        perplexity[form] = judged(found[form], model, "perplexity").value
        size[form] = bytes_per_token(arm, given, name)
        bits = judged(found[form], model, "bits_per_byte")
        known = {
            **trained(found[form], model),
            "bits per byte [95% CI]": with_interval(bits.value, bits.low, bits.high),
        }
        note = f"{size[form]} bytes per token, perplexity {perplexity[form]:.3f}"
        rows.append(row("stories-signals", f"student on {form}", **known, note=note))
    apart = perplexity["top-k"] / perplexity["dense"] - 1
    paired = gain(found["top-k"], model, found["dense"], model)
    goal = f"stories: <= {MOST_BYTES} bytes per token, held-out perplexity within {MOST_APART:.1%} of dense targets"
    ahead = with_interval(paired.gain, paired.interval.low, paired.interval.high, "+")
    measured = f"{apart:+.2%} at {size['top-k']} bytes per token (better by {ahead} bits per byte)"
    return Part(rows, [Goal(goal, measured, size["top-k"] <= MOST_BYTES and abs(apart) <= MOST_APART)])
