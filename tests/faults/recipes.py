"""Recipes. Oracle: the resolved recipe contains what an independent YAML reader finds in the files, with equal values
and types; `plan` accepts what `show` accepts. A recipe that this reader cannot parse is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import yaml

from .harness import Case, Expected, Verdict, judge
from .recipe_texts.characters import (
    bytes_flipped,
    characters_put_in,
    cut_short,
    encoding,
    indentation,
    line_dropped,
    not_a_recipe,
    schema_other,
    several_documents,
)
from .recipe_texts.places import (
    data_path,
    extends_chain,
    extends_circle,
    extends_odd,
    extends_part,
    model_path,
    odd_name,
)
from .recipe_texts.reader import Independent, missing, read, set_at
from .recipe_texts.spellings import name_odd, number_written_otherwise, set_good, set_odd, set_value, written_otherwise
from .recipe_texts.traps import (
    alias_of_itself,
    alias_plain,
    aliases_explode,
    deep_nesting,
    long_text,
    many_keys,
    many_problems,
    merge_key,
    tag_of_python,
)
from .recipe_texts.tree import Input, Tree, base
from .recipe_texts.values import (
    item_repeated,
    key_missing,
    key_misspelt,
    key_not_text,
    key_twice,
    key_unknown,
    list_emptied,
    node_moved,
    number_huge,
    number_not_finite,
    wild_node,
    wild_value,
)

COUNT = 300
LIMIT_S = 20.0
MUTATIONS: tuple[Callable[[Tree, random.Random], Input], ...] = (
    wild_value, wild_node, number_not_finite, number_huge, key_unknown, key_misspelt, key_missing, key_twice,
        key_not_text,
    node_moved, item_repeated, list_emptied, aliases_explode, alias_of_itself, alias_plain, merge_key, deep_nesting,
    tag_of_python, many_keys, many_problems, long_text, odd_name, data_path, model_path, extends_odd, extends_chain,
    extends_circle, extends_part, encoding, bytes_flipped, cut_short, characters_put_in, indentation, line_dropped,
    not_a_recipe, several_documents, schema_other, written_otherwise, number_written_otherwise, set_odd, set_value,
    set_good, name_odd,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated recipe: `show`, then `plan` where it was accepted."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    given = mutation(base(case.world), case.rng)
    folder = case.path("cwd")
    for name, content in given.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        raw = content if isinstance(content, bytes) else content.encode("utf-8", errors="surrogatepass")
        file.write_bytes(raw)
    options = [word for setting in given.sets for word in ("--set", setting)]
    name = given.name if given.name != "-" else "--"
    shown = case.command("show", name, *options, "--json")
    verdict = judge(case, shown, given.expected, lambda: case.isolated(lambda: _differs(folder, given, shown.out)))
    if verdict.result != "worked":
        # `show` looks at no file; what only a look at the data or the model can tell is for `plan` to refuse.
        looks = mutation in (data_path, model_path) and shown.code == 0
        if not looks:
            return mutation.__name__, verdict
    planned = case.command("plan", name, *options, "--json")
    expected: Expected = "refused" if given.expected == "refused" else "either"
    return mutation.__name__, judge(case, planned, expected, lambda: _unlike_plan(planned.out))


def _unlike_plan(out: str) -> str | None:
    content = json.loads(out)
    return None if content.get("steps") else "a plan without steps"


def _differs(folder: Path, given: Input, out: str) -> str | None:
    """What of the files is not in the resolved recipe."""
    shown = json.loads(out)
    try:
        wanted = read(folder / given.name)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"accepted, though it cannot be read: {' '.join(str(error).split())[:150]}"
    for setting in given.sets:
        path, _, raw = setting.partition("=")
        set_at(wanted, path.split("."), yaml.load(raw, Loader=Independent))
    return missing(wanted, shown, folder, ())
