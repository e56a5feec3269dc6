"""Recipes. Oracle: what an independent YAML reader finds in the files is in the resolved recipe, value for value and
type for type; `plan` accepts what `show` accepts. A recipe that this reader cannot take is refused."""

from __future__ import annotations

import datetime
import json
import math
import random
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import yaml

from .harness import Case, Expected, Verdict, judge
from .world import World, recipe_tree

COUNT = 300
LIMIT_S = 20.0
Tree = dict[str, object]


@dataclass(frozen=True)
class Input:
    """What lies in the folder, and the `--set` options."""

    files: Mapping[str, str | bytes]
    sets: tuple[str, ...] = ()
    expected: Expected = "either"
    name: str = "recipe.yaml"


def base(world: World) -> Tree:
    """A recipe that says something in every part."""
    tree = recipe_tree(world, tuned=True)
    data = tree["data"]
    assert isinstance(data, dict)
    data |= {"unlabeled": {"path": str(world.data / "unlabeled.jsonl")}, "columns": {"text": "text", "label": "label"}}
    second = {
        "id": "r2",
        "teacher": ["teacher", "r1"],
        "student": {"init": "narrow", "from": "r1", "hidden_size": 16},
        "stages": [
            {
                "name": "more",
                "data": ["train", "unlabeled"],
                "epochs": 1,
                "losses": [{"kind": "kl", "temperature": 2.0, "weight": 0.5}, {"kind": "hard_label"}],
                "augment": {"typo": 0.1, "copies": 1},
                "dropout": 0.0,
                "errors": {"of": "r1", "kind": "focal"},
            }
        ],
    }
    rounds = tree["rounds"]
    assert isinstance(rounds, list)
    rounds.append(second)
    tree |= {
        "seed": 3,
        "seeds": [5],
        "stop": {"when": {"accuracy_drop": 0.5}},
        "evaluate": {"ood": {"far": {"path": str(world.data / "unlabeled.jsonl")}}},
        "quantize": [{"precision": "fp32"}, {"precision": "int8-static", "calibration": {"from": "train", "take": 8}}],
    }
    return tree


WILD: tuple[str, ...] = (
    "null", "true", "false", "yes", "on", "0", "-1", "1", "2", "1.5", "1e3", "3e-4", "1e400", "-0.0", ".5", "0x1F",
    "0o17", "017", "1_000", "1:30", "2024-01-02", "2024-01-02T03:04:05Z", "''", "'3'", "'0.1'", "~", "[]", "{}", "[1]",
    "{a: 1}", "[[[]]]", "train", "teacher", "r1", "kl", "fp32", "onnx", "..", "/", "/dev/null", "~", "'a\\0b'",
    "!!binary aGVsbG8=", "!!set {a, b}", "!!str 3", "!!int '3'", "!!float 3", "!!python/name:os.system ''", "? [a]",
    "9223372036854775808", "99999999999999999999999999", "1" * 400, "'" + "x" * 5000 + "'", "é", "'\\u202e'",
    "\"\\ud800\"", "&a [*a]", "=", "<<", "|\n  text\n", "x: y: z", "%", "@a", "`", "- a",
)  # fmt: skip
NOT_FINITE = (".inf", "-.inf", ".nan", "1e999", "-1e999")


def leaves(node: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The paths of all values that hold no others."""
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in leaves(value, (*path, key))]
    if isinstance(node, list):
        return [leaf for key, value in enumerate(node) for leaf in leaves(value, (*path, key))]
    return [path]


def nodes(node: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The paths of all mappings and lists below the root."""
    found: list[tuple[object, ...]] = [path] if path else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(value, dict | list):
            found += nodes(value, (*path, key))
    return found


def at(tree: object, path: tuple[object, ...]) -> object:
    """The value at a path."""
    for key in path:
        tree = tree[key]  # type: ignore[index]
    return tree


def put(tree: Tree, path: tuple[object, ...], value: object) -> Tree:
    """A copy with another value at a path."""
    copy = deepcopy(tree)
    holder = at(copy, path[:-1])
    holder[path[-1]] = value  # type: ignore[index]
    return copy


def text_of(tree: Tree) -> str:
    """As YAML."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


_MARK = "REPLACE_ME"


def _with_raw(tree: Tree, path: tuple[object, ...], raw: str) -> str:
    """YAML with `raw` in the place of a value."""
    return text_of(put(tree, path, _MARK)).replace(_MARK, raw)


def _one(text: str | bytes, expected: Expected = "either", **others: str | bytes) -> Input:
    return Input(
        {"recipe.yaml": text, **{name.replace("_yaml", ".yaml"): each for name, each in others.items()}}, (), expected
    )


def wild_value(tree: Tree, rng: random.Random) -> Input:
    return _one(_with_raw(tree, rng.choice(leaves(tree)), rng.choice(WILD)))


def wild_node(tree: Tree, rng: random.Random) -> Input:
    return _one(_with_raw(tree, rng.choice(nodes(tree)), rng.choice(WILD)))


def number_not_finite(tree: Tree, rng: random.Random) -> Input:
    numeric = [each for each in leaves(tree) if isinstance(at(tree, each), float)]
    return _one(_with_raw(tree, rng.choice(numeric), rng.choice(NOT_FINITE)), "refused")


def number_huge(tree: Tree, rng: random.Random) -> Input:
    numeric = [each for each in leaves(tree) if isinstance(at(tree, each), int | float)]
    return _one(_with_raw(tree, rng.choice(numeric), rng.choice(["1" * 5000, "1" + "0" * 30, "1e308", "-" + "9" * 25])))


def key_unknown(tree: Tree, rng: random.Random) -> Input:
    where = rng.choice([each for each in [(), *nodes(tree)] if isinstance(at(tree, each), dict)])
    open_places = (("data", "columns"), ("evaluate", "ood"))
    if where in open_places:
        where = ()
    key = rng.choice(["colour", "epoch", "", " ", "x" * 300, "été", "__class__", "model_config", "schema_", "self"])
    copy = deepcopy(tree)
    at(copy, where)[key] = rng.choice([1, "a", None, [], {}])  # type: ignore[index]
    return _one(text_of(copy), "refused")


def key_misspelt(tree: Tree, rng: random.Random) -> Input:
    where = rng.choice([each for each in [(), *nodes(tree)] if isinstance(at(tree, each), dict) and at(tree, each)])
    copy = deepcopy(tree)
    holder = at(copy, where)
    assert isinstance(holder, dict)
    key = rng.choice(list(holder))
    wrong = rng.choice([key.upper() + "x", key[:-1] or "q", key + "s", key.replace("e", "3") + "_", f" {key}"])
    expected: Expected = "either" if where in (("evaluate", "ood"),) else "refused"
    holder[wrong] = holder.pop(key)
    return _one(text_of(copy), expected if wrong.strip() != key else "either")


def key_missing(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([*leaves(tree), *nodes(tree)])
    copy = deepcopy(tree)
    del at(copy, path[:-1])[path[-1]]  # type: ignore[attr-defined]
    return _one(text_of(copy))


def key_twice(tree: Tree, rng: random.Random) -> Input:
    lines = text_of(tree).splitlines()
    number = rng.choice([i for i, line in enumerate(lines) if re.match(r"^\s*\w+: \S", line)])
    return _one("\n".join([*lines[: number + 1], lines[number], *lines[number + 1 :]]), "refused")


def key_not_text(tree: Tree, rng: random.Random) -> Input:
    raw = rng.choice(
        [
            "1",
            "1.5",
            "true",
            "null",
            "~",
            "2024-01-02",
            "2024-01-02 03:04:05",
            "[a, b]",
            "{a: b}",
            ".nan",
            "!!binary YQ==",
        ]
    )
    where = rng.choice(["", "data:\n", "select:\n  limits:\n"])
    if not where:
        return _one(f"{text_of(tree)}? {raw}\n: 1\n", "refused")
    indent = "  " * where.count("\n")
    copy = {key: value for key, value in tree.items() if key != where.split(":")[0]}
    return _one(f"{text_of(copy)}{where}{indent}? {raw}\n{indent}: 1\n", "refused")


def node_moved(tree: Tree, rng: random.Random) -> Input:
    one, other = rng.sample(nodes(tree), 2)
    try:
        return _one(text_of(put(put(tree, one, at(tree, other)), other, at(tree, one))))
    except (KeyError, IndexError, TypeError):
        return _one(text_of(put(tree, one, at(tree, other))))


def item_repeated(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([each for each in nodes(tree) if isinstance(at(tree, each), list) and at(tree, each)])
    items = at(tree, path)
    assert isinstance(items, list)
    return _one(text_of(put(tree, path, items * rng.choice([2, 3, 60]))))


def list_emptied(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([each for each in nodes(tree) if isinstance(at(tree, each), list)])
    return _one(text_of(put(tree, path, [])))


def aliases_explode(tree: Tree, rng: random.Random) -> Input:
    depth, leaf = rng.choice([(9, "lol"), (30, "1"), (9, "{a: 1}")])
    fan = 10 if depth == 9 else 2
    lines = [f"a0: &a0 {leaf}"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * fan)}]" for i in range(1, depth)]
    place = rng.choice(["", "name: *LAST\n", "rounds: *LAST\n"]).replace("LAST", f"a{depth - 1}")
    kept = {key: value for key, value in tree.items() if not place.startswith(key)}
    return _one("\n".join(lines) + "\n" + place + text_of(kept), "refused")


def alias_of_itself(tree: Tree, rng: random.Random) -> Input:
    key = rng.choice(["rounds", "data", "quantize", "seeds", "evaluate"])
    raw = rng.choice(["&x [*x]", "&x {a: *x}", "&x [[*x], *x]"])
    return _one(_with_raw(tree, (key,), raw), "refused")


def alias_plain(tree: Tree, rng: random.Random) -> Input:
    """An ordinary anchor: what people use them for."""
    raw = text_of(tree).replace("learning_rate: 0.002", "learning_rate: &rate 0.002")
    return _one(raw.replace("learning_rate: 0.001", "learning_rate: *rate"), "either")


def merge_key(tree: Tree, rng: random.Random) -> Input:
    return _one("<<: {seed: 7, colour: 1}\n" + text_of(tree), "refused")


def deep_nesting(tree: Tree, rng: random.Random) -> Input:
    deep = rng.choice([60, 900, 5000, 60_000])
    opened, closed = rng.choice([("[", "]"), ("{a: ", "}")])
    return _one(_with_raw(tree, rng.choice(leaves(tree)), opened * deep + closed * deep), "refused")


def tag_of_python(tree: Tree, rng: random.Random) -> Input:
    call = "!!python/object/apply:os.system ['touch ../canary/yaml']"
    tags = [
        call,
        "!!python/object/new:os.system [x]",
        "!!python/module:this ''",
        "!mine 1",
        "!!timestamp 2024",
        "!!omap [a: 1]",
    ]
    return _one(_with_raw(tree, rng.choice(leaves(tree)), rng.choice(tags)))


def many_keys(tree: Tree, rng: random.Random) -> Input:
    more = "".join(f"key{i}: {i}\n" for i in range(20_000))
    return _one(text_of(tree) + more, "refused")


def many_problems(tree: Tree, rng: random.Random) -> Input:
    copy = deepcopy(tree)
    copy["quantize"] = [{"precision": f"fp{i}", "x" * 40: i} for i in range(2000)]
    return _one(text_of(copy), "refused")


def long_text(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([each for each in leaves(tree) if isinstance(at(tree, each), str)])
    long = rng.choice(["x", "é ", "a/b/"]) * rng.choice([300, 5000, 200_000])
    return _one(text_of(put(tree, path, long)))


def odd_name(tree: Tree, rng: random.Random) -> Input:
    names = [
        "../up",
        "/abs",
        "a/b",
        ".",
        "",
        "a b",
        "-rf",
        "CON",
        "x" * 41,
        "é",
        "a\x00b",
        "teacher",
        "control",
        "r1-control",
        "*",
    ]
    path = rng.choice([("name",), ("rounds", 0, "id"), ("rounds", 0, "stages", 0, "name")])
    return _one(text_of(put(tree, path, rng.choice(names))), "either" if path[-1] == "name" else "refused")


def data_path(tree: Tree, rng: random.Random) -> Input:
    name = rng.choice(
        ["missing.jsonl", "missing/x.jsonl", "/dev/zero", "/dev/stdin", "/proc/self/environ", "x" * 300 + ".jsonl",
        "a\x00b.jsonl",
         "~nobody/x.jsonl", "http://localhost/x.jsonl", "hf://x/y.jsonl", "*.jsonl", "file.txt", "\ud800.jsonl"]
    )  # fmt: skip
    quoted = json.dumps(name)
    return _one(_with_raw(tree, ("data", rng.choice(["train", "validation", "test"]), "path"), quoted), "refused")


def model_path(tree: Tree, rng: random.Random) -> Input:
    name = rng.choice(
        ["", ".", "..", "/", "missing", "/dev/null", "a/b/c", "x" * 300, "a\x00b", "../../etc", "hf://a/b", " ", "A B"]
    )
    return _one(_with_raw(tree, ("teacher", "model"), json.dumps(name)), "either")


def extends_odd(tree: Tree, rng: random.Random) -> Input:
    raw = rng.choice(["recipe.yaml", "./recipe.yaml", "missing", "x" * 5000, "/", ".", "''", "1", "[a]", "{a: 1}",
        "true",
                      "'a\\0b'", "\"a\\0b\"", "/dev/null", "../..", "\"\\ud800\""])  # fmt: skip
    return _one(f"extends: {raw}\n{text_of(tree)}", "refused")


def extends_chain(tree: Tree, rng: random.Random) -> Input:
    length = rng.choice([1, 3, 40, 1200])
    files: dict[str, str | bytes] = {f"b{i}.yaml": f"extends: b{i + 1}.yaml\nseed: {i}\n" for i in range(length)}
    files[f"b{length}.yaml"] = text_of({key: value for key, value in tree.items() if key != "seed"})
    files["recipe.yaml"] = "extends: b0.yaml\n"
    return Input(files, (), "works" if length < 10 else "either")


def extends_circle(tree: Tree, rng: random.Random) -> Input:
    first = "extends: b.yaml\n" + text_of(tree)
    return Input(
        {"recipe.yaml": first, "b.yaml": "extends: c.yaml\n", "c.yaml": "extends: recipe.yaml\n"}, (), "refused"
    )


def extends_part(tree: Tree, rng: random.Random) -> Input:
    """Part of the recipe stands in the file that it starts from."""
    keys = rng.sample(list(tree), 5)
    below, above = {k: v for k, v in tree.items() if k in keys}, {k: v for k, v in tree.items() if k not in keys}
    below["seed"], above["seed"] = 11, 12
    return Input({"base.yaml": text_of(below), "recipe.yaml": "extends: base.yaml\n" + text_of(above)}, (), "works")


def encoding(tree: Tree, rng: random.Random) -> Input:
    text = "# é\n" + text_of(tree)
    how = rng.choice(["latin-1", "utf-16", "utf-32", "utf-8-sig", "cp1252", "cp037"])
    return _one(text.encode(how), "either" if how in ("utf-8-sig",) else "refused")


def bytes_flipped(tree: Tree, rng: random.Random) -> Input:
    content = bytearray(text_of(tree).encode())
    for _ in range(rng.choice([1, 1, 2, 5])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return _one(bytes(content))


def cut_short(tree: Tree, rng: random.Random) -> Input:
    content = text_of(tree).encode()
    return _one(content[: rng.randrange(len(content))])


def characters_put_in(tree: Tree, rng: random.Random) -> Input:
    content = text_of(tree)
    for _ in range(rng.choice([1, 2])):
        place = rng.randrange(len(content))
        odd = rng.choice(
            [
                "\t",
                "\x00",
                "\x07",
                "\u2028",
                "\x85",
                "\ufeff",
                "\r",
                "'",
                '"',
                "{",
                "}",
                "&",
                "*",
                "!",
                "%",
                "|",
                ">",
                "#",
                ":",
                "- ",
                "? ",
            ]
        )
        content = content[:place] + odd + content[place:]
    return _one(content)


def indentation(tree: Tree, rng: random.Random) -> Input:
    lines = text_of(tree).splitlines()
    number = rng.randrange(len(lines))
    lines[number] = rng.choice(["", " ", "  ", "\t", "    "]) + lines[number].lstrip(" ")
    return _one("\n".join(lines))


def line_dropped(tree: Tree, rng: random.Random) -> Input:
    lines = text_of(tree).splitlines()
    del lines[rng.randrange(len(lines))]
    return _one("\n".join(lines))


def not_a_recipe(tree: Tree, rng: random.Random) -> Input:
    texts = [
        "",
        "\n\n",
        "# only\n",
        "[]",
        "- a\n- b\n",
        "text",
        "3",
        "null",
        "---\n...\n",
        "{}",
        "schema: edgedistill/1\n",
        "\x00",
        "PK\x03\x04",
        "%PDF-1.4",
    ]
    return _one(rng.choice(texts), "refused")


def several_documents(tree: Tree, rng: random.Random) -> Input:
    return _one(text_of(tree) + "---\nseed: 9\n", "refused")


def schema_other(tree: Tree, rng: random.Random) -> Input:
    return _one(
        _with_raw(
            tree, ("schema",), rng.choice(["edgedistill/2", "1", "null", "[]", "edgedistill", "' edgedistill/1'"])
        ),
        "refused",
    )


def written_otherwise(tree: Tree, rng: random.Random) -> Input:
    """The same recipe: keys in another order, flow style, CRLF, comments, JSON."""
    mixed = dict(rng.sample(list(tree.items()), len(tree)))
    forms = [
        yaml.safe_dump(mixed, sort_keys=False),
        yaml.safe_dump(tree, default_flow_style=True, width=80),
        text_of(tree).replace("\n", "\r\n"),
        "%YAML 1.1\n---\n# comment\n" + text_of(tree) + "\n...\n",
        json.dumps(tree),
        "\n\n" + text_of(tree).replace(": ", ":  "),
    ]
    return _one(rng.choice(forms), "works")


def number_written_otherwise(tree: Tree, rng: random.Random) -> Input:
    path = ("rounds", 0, "stages", 0, "learning_rate")
    return _one(_with_raw(tree, path, rng.choice(["3e-4", "3.0e-4", "0.0003", "3E-4", "+3e-4", ".0003"])), "works")


def set_odd(tree: Tree, rng: random.Random) -> Input:
    option = rng.choice(
        ["rounds.²=1", "rounds.٣=1", "rounds.-1=1", "rounds.99999999999999999999=1", "=1", ".=1", "a..b=1", "seed",
        "seed=",
         "seed=[", "seed=&a [*a]", "seed=!!python/name:os.system", "name.x=1", "seed.0.a=3",
         "rounds.0.stages.0.epochs.x=1",
         "rounds=1", "rounds.0=1", "data=1", "data.train.path=", "name=" + "x" * 100_000, "." * 5000 + "=1",
         "rounds.2=1",
         "a." * 3000 + "b=1", "seed=" + "[" * 3000, "seed=" + "1" * 6000, "seed=2024-01-02", "extends=quickstart",
         "rounds.0.id=r9", "rounds.1.id=teacher", "seed=\ud800", "seed= 4 #x", "select.limits=null",
         "teacher.scratch={}"]
    )  # fmt: skip
    return Input({"recipe.yaml": text_of(tree)}, (option,))


def set_value(tree: Tree, rng: random.Random) -> Input:
    sets = []
    for _ in range(rng.choice([1, 2, 4])):
        path = rng.choice(leaves(tree))
        sets.append(f"{'.'.join(map(str, path))}={rng.choice([each for each in WILD if chr(10) not in each])}")
    return Input({"recipe.yaml": text_of(tree)}, tuple(sets))


def set_good(tree: Tree, rng: random.Random) -> Input:
    options = [
        "seed=21",
        "rounds.0.stages.0.epochs=9",
        "select.limits.file_mb=3.5",
        "name=other",
        "rounds.1.stages.0.learning_rate=3e-4",
        "measure.threads=[1, 2]",
    ]
    return Input({"recipe.yaml": text_of(tree)}, tuple(rng.sample(options, 3)), "works")


def name_odd(tree: Tree, rng: random.Random) -> Input:
    name = rng.choice(
        ["quickstat", "x" * 5000, "", ".", "/dev/null", "folder", "-", "..", "a/b.yaml", "https://x/y.yaml", "é.yaml"]
    )
    return Input({"recipe.yaml": text_of(tree), "folder/x": ""}, (), "refused", name)


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
    options = [word for each in given.sets for word in ("--set", each)]
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
        wanted = _read(folder / given.name)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"accepted, though it cannot be read: {' '.join(str(error).split())[:150]}"
    for each in given.sets:
        path, _, raw = each.partition("=")
        _set(wanted, path.split("."), yaml.load(raw, Loader=_Independent))
    return _missing(wanted, shown, folder, ())


class _Independent(yaml.CSafeLoader):
    """libyaml's parser."""


def _closed_mapping(loader: _Independent, node: yaml.MappingNode) -> object:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    if len({repr(key) for key in keys}) != len(keys):
        raise ValueError("a key is given twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)  # type: ignore[arg-type]


_Independent.add_constructor("tag:yaml.org,2002:map", _closed_mapping)


def _read(file: Path) -> Tree:
    tree = yaml.load(file.read_bytes().decode("utf-8-sig"), Loader=_Independent)
    if not isinstance(tree, dict):
        raise ValueError("not a mapping")
    parent = tree.pop("extends", None)
    return tree if parent is None else _over(_read(file.parent / str(parent)), tree)


def _over(below: object, above: object) -> Tree:
    assert isinstance(below, dict)
    assert isinstance(above, dict)
    both = dict(below)
    for key, value in above.items():
        deeper = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _over(both[key], value) if deeper else value
    return both


def _set(node: object, keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        node = node[int(key)] if isinstance(node, list) else node[key]  # type: ignore[index]
    node[int(keys[-1]) if isinstance(node, list) else keys[-1]] = value  # type: ignore[index]


def _missing(wanted: object, shown: object, folder: Path, path: tuple[object, ...]) -> str | None:
    """The first value that was given and isn't there."""
    where = ".".join(map(str, path))
    if isinstance(wanted, dict) and isinstance(shown, dict):
        for key, value in wanted.items():
            if key not in shown and value is not None:
                return f"{where}.{key}: given, but not in the resolved recipe"
            if (found := _missing(value, shown.get(key), folder, (*path, key))) is not None:
                return found
        return None
    if isinstance(wanted, list) and isinstance(shown, list) and len(wanted) == len(shown):
        differences = (
            _missing(one, other, folder, (*path, i)) for i, (one, other) in enumerate(zip(wanted, shown, strict=True))
        )
        return next((each for each in differences if each is not None), None)
    return None if _same(wanted, shown, folder, path) else f"{where}: given {wanted!r:.60}, resolved as {shown!r:.60}"


def _same(wanted: object, shown: object, folder: Path, path: tuple[object, ...]) -> bool:
    if isinstance(wanted, bool) or isinstance(shown, bool) or wanted is None or shown is None:
        return wanted is shown
    if isinstance(shown, int | float):
        if isinstance(wanted, str):  # `3e-4` is text in YAML 1.1
            return bool(re.fullmatch(r"[-+.\deE]+", wanted)) and _number(wanted) == shown
        return isinstance(wanted, int | float) and (wanted == shown or (math.isnan(wanted) and math.isnan(shown)))
    if isinstance(wanted, str) and isinstance(shown, str):
        if path and path[-1] in ("path", "model", "masked_lm"):
            return shown in (wanted, str((folder / Path(wanted).expanduser()).resolve()))
        return wanted == shown
    if isinstance(wanted, datetime.date):
        return str(wanted) == shown
    return wanted == shown and type(wanted) is type(shown)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
