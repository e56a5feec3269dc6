"""What the bundle says, vouched for by its hashes."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable

import numpy as np

from ..damaged import Json, broken_json
from .copy import VALUES, Copy

ITEMS, ANSWERS = "golden-items.safetensors", "golden-answers.safetensors"


def json_broken(bundle: Copy, rng: random.Random) -> None:
    file = bundle.path / rng.choice(["bundle.json", "golden.json", "bundle.json", "golden.json", "labels.json"])
    file.write_bytes(rng.choice(broken_json(file.read_bytes())))


def schema_other(bundle: Copy, rng: random.Random) -> None:
    name = rng.choice(["bundle.json", "golden.json"])
    bundle.edit(
        name, lambda c: c.update(schema=rng.choice(["edgedistill/bundle/3", None, 3, [], "edgedistill/golden/9"]))
    )


def fact_missing(bundle: Copy, rng: random.Random) -> None:
    bundle.edit("bundle.json", lambda c: c.pop(rng.choice(sorted(c))))
    bundle.expected = "either"


def fact_odd(bundle: Copy, rng: random.Random) -> None:
    bundle.edit("bundle.json", lambda c: c.update({rng.choice(sorted(c)): rng.choice(VALUES)}))
    bundle.expected = "either"


def file_opened_elsewhere(bundle: Copy, rng: random.Random) -> None:
    """`files` leads out of the folder, or to a file that isn't listed among the device's."""
    outside = bundle.path.parent / "outside.onnx"
    shutil.copy(bundle.model, outside)
    shutil.copy(bundle.model, bundle.path / "unlisted.onnx")
    name = rng.choice(["../outside.onnx", str(outside), "onnx/../../outside.onnx", "unlisted.onnx"])
    bundle.edit("bundle.json", lambda c: c["components"]["model"].update(files=[[None, name]]))
    bundle.vouch = rng.choice([True, True, False]) or True


def file_opened_odd(bundle: Copy, rng: random.Random) -> None:
    value = rng.choice([[], {}, None, "model.onnx", [[None]], [[None, None]], [["x", "onnx/model.onnx"]], [[None,
        "missing.onnx"]], [[-1, "onnx/model.onnx"]],
                        [[0, "onnx/model.onnx"]], [[None, ""]], [[None, "onnx"]], [[1.5, "onnx/model.onnx"]], [[[],
                        "onnx/model.onnx"]], [[None, "a\x00b"]]])  # fmt: skip
    bundle.edit("bundle.json", lambda c: c["components"]["model"].update(files=value))


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


def _edit(bundle: Copy, name: str, array: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one array of a safetensors file."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    file = bundle.path / name
    with safe_open(file, framework="numpy") as stored:
        arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a mapping
        metadata = stored.metadata()
    arrays[array] = change(arrays[array])
    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, file, metadata=metadata)


def golden_rows_not_finite(bundle: Copy, rng: random.Random) -> None:
    def change(logits: np.ndarray) -> np.ndarray:
        logits = np.array(logits)
        logits[rng.randrange(len(logits)), 0] = rng.choice([float("nan"), float("inf"), -float("inf")])
        return logits

    _edit(bundle, ANSWERS, "value.logits", change)


def golden_rows_other(bundle: Copy, rng: random.Random) -> None:
    """Other answers than the file gives."""

    def change(logits: np.ndarray) -> np.ndarray:
        logits = np.array(logits)
        logits[rng.randrange(len(logits)), 0] += rng.choice([0.5, -3, 100])
        return logits

    _edit(bundle, ANSWERS, "value.logits", change)


def golden_shapes_odd(bundle: Copy, rng: random.Random) -> None:
    how = rng.choice(["no items", "item", "fewer", "classes", "type", "owners", "offsets", "ids", "bytes", "missing"])
    items = {"no items": rng.choice([[], None, {}, "x", 3]), "item": [rng.choice([None, [], "x", {}])]}
    ids = rng.choice([-1, 2**40])
    match how:
        case "no items" | "item":
            bundle.edit("golden.json", lambda c: c.update(items=items[how]))
        case "fewer":
            _edit(bundle, ANSWERS, "value.logits", lambda array: array[:-1])
        case "classes":
            _edit(bundle, ANSWERS, "value.logits", lambda array: array[:, :1])
        case "type":
            _edit(bundle, ANSWERS, "value.logits", lambda array: array.astype(np.int64))
        case "owners":
            _edit(bundle, ANSWERS, "item", lambda array: array[::-1])
        case "offsets":
            _edit(bundle, ITEMS, "offsets.input_ids", lambda array: array + rng.choice([1, 10**6]))
        case "ids":
            _edit(bundle, ITEMS, "value.input_ids", lambda array: np.full_like(array, ids))
        case "bytes":
            file = bundle.path / rng.choice([ITEMS, ANSWERS])
            file.write_bytes(rng.choice([b"", b"x" * 100, file.read_bytes()[:-1], b"\xff" * 8 + b"{}"]))
        case "missing":
            (bundle.path / rng.choice([ITEMS, ANSWERS])).unlink()


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
                    {"answers": ["nothing"]},
                    {"answers": []},
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
    tensor = max(model.graph.initializer, key=lambda initializer: len(initializer.raw_data))
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
