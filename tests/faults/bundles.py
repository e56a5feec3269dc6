"""Bundles. Oracle: a bundle whose bytes aren't those that `sha256.txt` lists, whose facts can't be meant, or that
answers a golden input wrongly, is refused or fails; one that differs in what nothing depends on passes its test."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .harness import Case, Expected, Verdict, judge

COUNT = 80
LIMIT_S = 60.0
NEEDS = ("finished",)
Json = dict[str, Any]


@dataclass
class Copy:
    """The copy that is damaged."""

    path: Path
    canary: Path
    expected: Expected = "refused"
    vouch: bool = True
    """Write `sha256.txt` anew, as someone who made a wrong bundle would."""
    cwd: Path | None = None

    def edit(self, name: str, change: Callable[[Json], object]) -> None:
        """Change a JSON file."""
        file = self.path / name
        content = json.loads(file.read_text(encoding="utf-8"))
        change(content)
        file.write_text(json.dumps(content), encoding="utf-8")

    @property
    def model(self) -> Path:
        """The model file."""
        return next(self.path.rglob("*.onnx"))


Mutation = Callable[[Copy, random.Random], None]
VALUES: tuple[object, ...] = (
    None,
    -1,
    0,
    1.5,
    10**12,
    "",
    "x",
    "../x",
    "\x00",
    True,
    [],
    {},
    [[]],
    [None],
    {"a": None},
    float("nan"),
    float("inf"),
    "9" * 5000,
)


def _listed(bundle: Copy, rng: random.Random) -> Path:
    names = [line.split("  ", 1)[1] for line in (bundle.path / "sha256.txt").read_text().splitlines()]
    return bundle.path / rng.choice(names)


def file_changed_unvouched(bundle: Copy, rng: random.Random) -> None:
    file = _listed(bundle, rng)
    raw = bytearray(file.read_bytes())
    raw[rng.randrange(len(raw))] ^= rng.choice([1, 64, 255])
    file.write_bytes(bytes(raw))
    bundle.vouch = False


def file_missing_unvouched(bundle: Copy, rng: random.Random) -> None:
    _listed(bundle, rng).unlink()
    bundle.vouch = False


def file_is_a_folder(bundle: Copy, rng: random.Random) -> None:
    file = _listed(bundle, rng)
    file.unlink()
    file.mkdir()
    bundle.vouch = False


def file_is_a_link(bundle: Copy, rng: random.Random) -> None:
    """A loop, a dangling link, or one out of the folder to the same bytes."""
    file, how = _listed(bundle, rng), rng.choice(["loop", "dangling", "outside"])
    outside = bundle.path.parent / "outside"
    shutil.copy(file, outside)
    file.unlink()
    file.symlink_to({"loop": file.name, "dangling": "nothing", "outside": str(outside)}[how])
    bundle.vouch = False
    bundle.expected = "either" if how == "outside" else "refused"


def hashes_odd(bundle: Copy, rng: random.Random) -> None:
    file = bundle.path / "sha256.txt"
    raw = file.read_text()
    content: str | bytes = rng.choice(
        ["", "x", "0  bundle.json\n", raw.upper(), raw.replace("  ", " "), raw + "00  ../../x\n",
        raw + "zz  /etc/passwd\n", "\x00" * 9, b"\xff\xfe",
         raw.splitlines()[0], raw + "ab  \n", raw + "  \n", raw + "aa  a\x00b\n"]
    )  # fmt: skip
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    bundle.vouch = False
    bundle.expected = "refused" if content not in (raw.upper(), raw + "  \n") else "either"


def hashes_missing(bundle: Copy, rng: random.Random) -> None:
    (bundle.path / "sha256.txt").unlink()
    bundle.vouch = False


def written_otherwise(bundle: Copy, rng: random.Random) -> None:
    """The same facts in another order and spacing."""
    for name in ("bundle.json", "golden.json", "labels.json"):
        file = bundle.path / name
        content = json.loads(file.read_text(encoding="utf-8"))
        mixed = dict(rng.sample(list(content.items()), len(content))) if isinstance(content, dict) else content
        file.write_text(json.dumps(mixed, indent=rng.choice([None, 3])) + "\n\n", encoding="utf-8")
    bundle.expected = "works"


def words_of_the_card(bundle: Copy, rng: random.Random) -> None:
    (bundle.path / "MODEL_CARD.md").write_text("Another text.\n")
    bundle.expected = "works"


def facts_more(bundle: Copy, rng: random.Random) -> None:
    bundle.edit("bundle.json", lambda c: c.update({"my_note": rng.choice([1, None, "x", [1]])}))
    bundle.expected = "either"


def files_beside(bundle: Copy, rng: random.Random) -> None:
    """Not listed, and nobody's concern; pickles and scripts among them."""
    (bundle.path / "notes.txt").write_text("x")
    (bundle.path / "run.py").write_text(f"open({str(bundle.canary / 'run')!r}, 'w')\n")
    (bundle.path / "pytorch_model.bin").write_bytes(pickle.dumps(_Payload(bundle.canary / "pickle")))
    bundle.expected, bundle.vouch = "works", rng.choice([True, False])


class _Payload:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.file}",))


def modules_of_the_working_folder(bundle: Copy, rng: random.Random) -> None:
    for name in ("numpy", "json", "onnxruntime", "safetensors", "tokenizers", "sitecustomize", "edgedistill"):
        (bundle.path / f"{name}.py").write_text(f"open({str(bundle.canary / name)!r}, 'w').close()\n")
    bundle.cwd, bundle.expected, bundle.vouch = bundle.path, "works", rng.choice([True, False])


def json_broken(bundle: Copy, rng: random.Random) -> None:
    file = bundle.path / rng.choice(["bundle.json", "golden.json", "bundle.json", "golden.json", "labels.json"])
    raw = file.read_bytes()
    file.write_bytes(
        rng.choice(
            [
                b"",
                b"{",
                b"[]",
                b"null",
                b"3",
                raw[: len(raw) // 2],
                raw.decode().encode("utf-16"),
                b"[" * 50_000,
                b"{} {}",
                b"\xff",
            ]
        )
    )
    bundle.expected = "refused" if file.name != "labels.json" else "either"


def schema_other(bundle: Copy, rng: random.Random) -> None:
    name = rng.choice(["bundle.json", "golden.json"])
    bundle.edit(
        name, lambda c: c.update(schema=rng.choice(["edgedistill/bundle/2", None, 3, [], "edgedistill/golden/9"]))
    )


def fact_missing(bundle: Copy, rng: random.Random) -> None:
    bundle.edit("bundle.json", lambda c: c.pop(rng.choice(sorted(c))))
    bundle.expected = "either"


def fact_odd(bundle: Copy, rng: random.Random) -> None:
    bundle.edit("bundle.json", lambda c: c.update({rng.choice(sorted(c)): rng.choice(VALUES)}))
    bundle.expected = "either"


def file_opened_elsewhere(bundle: Copy, rng: random.Random) -> None:
    """`opened` leads out of the folder, or to a file that isn't listed among the device's."""
    outside = bundle.path.parent / "outside.onnx"
    shutil.copy(bundle.model, outside)
    shutil.copy(bundle.model, bundle.path / "unlisted.onnx")
    name = rng.choice(["../outside.onnx", str(outside), "onnx/../../outside.onnx", "unlisted.onnx"])
    bundle.edit("bundle.json", lambda c: c.update(opened=[[None, name]]))
    bundle.vouch = rng.choice([True, True, False]) or True


def file_opened_odd(bundle: Copy, rng: random.Random) -> None:
    value = rng.choice([[], {}, None, "model.onnx", [[None]], [[None, None]], [["x", "onnx/model.onnx"]], [[None,
        "missing.onnx"]], [[-1, "onnx/model.onnx"]],
                        [[0, "onnx/model.onnx"]], [[None, ""]], [[None, "onnx"]], [[1.5, "onnx/model.onnx"]], [[[],
                        "onnx/model.onnx"]], [[None, "a\x00b"]]])  # fmt: skip
    bundle.edit("bundle.json", lambda c: c.update(opened=value))


def device_files_odd(bundle: Copy, rng: random.Random) -> None:
    value = rng.choice(
        [
            [],
            {},
            None,
            "x",
            {"missing.onnx": "00"},
            {"../outside": "00"},
            {"onnx/model.onnx": None},
            {"onnx/model.onnx": "00"},
            {"": ""},
            [["a"]],
        ]
    )
    bundle.edit("bundle.json", lambda c: c.update(device_files=value))


def tolerance_odd(bundle: Copy, rng: random.Random) -> None:
    """Any answer would pass."""
    value = rng.choice([float("nan"), float("inf"), 1e9, -1, None, "x", "nan", [], {}, 1e300, "1e9", True])
    bundle.edit("golden.json", lambda c: c.update(tolerance=value))


def golden_rows_not_finite(bundle: Copy, rng: random.Random) -> None:
    value = rng.choice([float("nan"), float("inf"), None, "x", 1e400])

    def change(content: Json) -> None:
        rows = content["items"][rng.randrange(len(content["items"]))]["rows"]
        rows[0][0] = value

    bundle.edit("golden.json", change)


def golden_rows_other(bundle: Copy, rng: random.Random) -> None:
    """Other answers than the file gives."""

    def change(content: Json) -> None:
        rows = content["items"][rng.randrange(len(content["items"]))]["rows"]
        rows[0][0] += rng.choice([0.5, -3, 100])

    bundle.edit("golden.json", change)


def golden_shapes_odd(bundle: Copy, rng: random.Random) -> None:
    def change(content: Json) -> None:
        item = content["items"][0]
        how = rng.choice(
            [
                "no items",
                "rows",
                "ragged",
                "ids",
                "long ids",
                "mask",
                "no ids",
                "item",
                "rows empty",
                "columns",
                "ids nested",
                "big ids",
            ]
        )
        if how == "no items":
            content["items"] = rng.choice([[], None, {}, "x", 3])
        elif how == "item":
            content["items"][0] = rng.choice([None, [], "x", {}])
        elif how == "no ids":
            item.pop("input_ids")
        elif how == "mask":
            item["attention_mask"] = item["attention_mask"][:-1]
        else:
            item.update({"rows": {"rows": 3}, "ragged": {"rows": [[1, 2], [1]]}, "ids": {"input_ids": rng.choice([[],
                [-1], ["a"], None, 3])},
                         "long ids": {"input_ids": [1] * 5000}, "rows empty": {"rows": []},
                         "columns": {"rows": [[0.0]]},
                         "ids nested": {"input_ids": [[1, 2]]}, "big ids": {"input_ids": [2**70]}}[how])  # fmt: skip

    bundle.edit("golden.json", change)


def golden_texts_odd(bundle: Copy, rng: random.Random) -> None:
    def change(content: Json) -> None:
        content["items"][0].update(
            rng.choice(
                [
                    {"given": None},
                    {"given": []},
                    {"given": "x"},
                    {"given": [3]},
                    {"text": None},
                    {"given": ["another text"]},
                    {"given": ["a"] * 9},
                ]
            )
        )

    bundle.edit("golden.json", change)
    bundle.expected = "either"


def tokenizer_other(bundle: Copy, rng: random.Random) -> None:
    file = bundle.path / "tokenizer.json"
    content = json.loads(file.read_text())
    how = rng.choice(["words", "broken", "empty", "model"])
    if how == "words":
        words = list(content["model"]["vocab"])
        content["model"]["vocab"] = {word: number for number, word in enumerate(words[:5] + words[:4:-1])}
    elif how == "model":
        content["model"] = {"type": "Evil"}
    file.write_text("{" if how == "broken" else "" if how == "empty" else json.dumps(content))


def labels_other(bundle: Copy, rng: random.Random) -> None:
    value = rng.choice([[], ["a"], {}, None, 3, ["a", "b", "c", "d", "e"]])
    (bundle.path / "labels.json").write_text(json.dumps(value))


def weights_other(bundle: Copy, rng: random.Random) -> None:
    import numpy as np
    import onnx

    model = onnx.load(bundle.model)
    tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    values = np.frombuffer(tensor.raw_data, np.float32)
    tensor.raw_data = (values * rng.choice([0.0, 2.0, np.nan, -1.0])).astype(np.float32).tobytes()
    onnx.save(model, bundle.model)
    _list_again(bundle)


def model_broken(bundle: Copy, rng: random.Random) -> None:
    raw = bundle.model.read_bytes()
    bundle.model.write_bytes(rng.choice([b"", raw[: len(raw) // 2], b"garbage", raw[:-1]]))
    _list_again(bundle)


def _list_again(bundle: Copy) -> None:
    """Vouch for the model in `bundle.json` too."""
    name = bundle.model.relative_to(bundle.path).as_posix()
    digest = hashlib.sha256(bundle.model.read_bytes()).hexdigest()
    bundle.edit("bundle.json", lambda c: c["device_files"].update({name: digest}))


def folder_odd(bundle: Copy, rng: random.Random) -> None:
    how = rng.choice(["empty", "file", "facts only", "facts folder"])
    facts = (bundle.path / "bundle.json").read_bytes()
    shutil.rmtree(bundle.path)
    if how == "file":
        bundle.path.write_bytes(facts)
        bundle.vouch = False
        return
    bundle.path.mkdir()
    if how == "facts only":
        (bundle.path / "bundle.json").write_bytes(facts)
    elif how == "facts folder":
        (bundle.path / "bundle.json").mkdir()


MUTATIONS: tuple[Mutation, ...] = (
    file_changed_unvouched, file_missing_unvouched, file_is_a_folder, file_is_a_link, hashes_odd, hashes_missing,
        written_otherwise,
    words_of_the_card, facts_more, files_beside, modules_of_the_working_folder, json_broken, schema_other,
        fact_missing, fact_odd,
    file_opened_elsewhere, file_opened_odd, device_files_odd, tolerance_odd, golden_rows_not_finite, golden_rows_other,
    golden_shapes_odd, golden_texts_odd, tokenizer_other, labels_other, weights_other, model_broken, folder_odd,
        fact_odd,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated bundle: `measure BUNDLE`."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    case.canary.mkdir()
    bundle = Copy(Path(shutil.copytree(case.world.finished / "bundle", case.path("bundle"))), case.canary)
    mutation(bundle, case.rng)
    if bundle.vouch:
        _write_hashes(bundle.path)
    place = "." if bundle.cwd else bundle.path
    out = case.path("results.json")
    outcome = case.command("measure", place, "--min-seconds", "0.1", "--out", out, "--json", cwd=bundle.cwd)
    verdict = judge(case, outcome, bundle.expected, lambda: _differs(case, out), refusals=(2,), failures=(1,))
    return mutation.__name__, verdict


def _differs(case: Case, out: Path) -> str | None:
    """What of the results isn't what the golden test of the undamaged bundle says."""
    found = json.loads(out.read_text(encoding="utf-8"))
    golden = json.loads((case.world.finished / "bundle" / "golden.json").read_text(encoding="utf-8"))
    if not found["golden"]["passed"]:
        return "exit 0, though a golden input was answered wrongly"
    if found["golden"]["items"] != len(golden["items"]) or not found["golden"]["tolerance"] <= golden["tolerance"]:
        return f"passed with {found['golden']['items']} golden inputs within {found['golden']['tolerance']}"
    size = sum(each.stat().st_size for each in (case.world.finished / "bundle").rglob("*.onnx"))
    return None if found["file_bytes"] == size else f"{found['file_bytes']} bytes, the file has {size}"


def _write_hashes(folder: Path) -> None:
    files = sorted(each for each in folder.rglob("*") if each.is_file() and each.name != "sha256.txt")
    lines = [
        f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.relative_to(folder).as_posix()}\n" for each in files
    ]
    (folder / "sha256.txt").write_text("".join(lines), encoding="utf-8")
