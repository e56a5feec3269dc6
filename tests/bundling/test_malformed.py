"""Bundles as nobody wrote them: every one is refused with one sentence, or tests what it tested before."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from edgedistill.bundling.golden import largest_tolerance
from edgedistill.bundling.layout import open_bundle, write_hashes
from edgedistill.contracts.answers import Answers
from edgedistill.errors import EdgedistillError, UserError

WILD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.5, 1e308, 1e-308, "", "a", "\ud800", "a\0b",
    "../x", "/etc/passwd", "C:\\x", "onnx\\model.onnx", "a\nb", "x" * 5000, [], {}, [[]], [None], {"a": 1}, [[], 1],
    "NaN", "é" * 300,
]  # fmt: skip
RAW = ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, "[" * 100_000, '{"a":1,"a":2}', "tru", '"\\ud800"']
BINARIES = ["golden-items.safetensors", "golden-answers.safetensors"]
NAMES = ["bundle.json", "golden.json", "labels.json"]


class Folder:
    """A bundle whose text files are changed and put back."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.before = {name: (folder / name).read_bytes() for name in (*NAMES, "sha256.txt")}
        self.original = open_bundle(folder)

    def put(self, vouched: bool, **changed: bytes | None) -> None:
        """Write these files (None: away), and an own `sha256.txt` when they are to be vouched for."""
        files = {name.replace("__", "."): content for name, content in changed.items()}
        for name, content in files.items():
            (self.folder / name).unlink(missing_ok=True)
            if content is not None:
                (self.folder / name).write_bytes(content)
        if vouched:
            lines = self.before["sha256.txt"].decode().splitlines()
            listed = dict(line.split("  ", 1)[::-1] for line in lines)
            listed |= {
                name: hashlib.sha256(content).hexdigest() for name, content in files.items() if content is not None
            }
            text = "".join(f"{value}  {name}\n" for name, value in listed.items())
            (self.folder / "sha256.txt").write_text(text)

    def back(self) -> None:
        for name, content in self.before.items():
            (self.folder / name).write_bytes(content)


@pytest.fixture(scope="module")
def malleable(finished_run, tmp_path_factory):
    source = finished_run.folder / "bundle"
    return Folder(shutil.copytree(source, tmp_path_factory.mktemp("malformed") / "bundle", copy_function=shutil.copy))


def paths(content, here=()):
    yield here
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in children:
        yield from paths(value, (*here, key))


def changed(content, draw: random.Random) -> bytes:
    """One change of a JSON text, somewhere: a value, a key that goes or comes, a literal that is none, a byte."""
    kind = draw.choice(["value", "value", "value", "gone", "new", "raw", "raw", "bytes", "number"])
    text = json.dumps(content)
    if kind == "bytes":
        raw = bytearray(text.encode())
        raw[draw.randrange(len(raw))] = draw.randrange(256)
        return bytes(raw[: draw.randrange(len(raw))] if draw.random() < 0.3 else raw)
    tree = copy.deepcopy(content)
    chosen = list(paths(tree))
    if kind == "number":  # the figures, which matter most
        chosen = [path for path in chosen if isinstance(_at(tree, path), int | float)] or chosen
    # Most of a golden file is token ids: half of the changes are to what all of them hang on.
    first = [place for place in chosen if len(place) == 1]
    path = draw.choice(first if first and draw.random() < 0.5 else [place for place in chosen if place] or [()])
    if not path:
        return json.dumps(draw.choice(WILD)).encode()
    parent = _at(tree, path[:-1])
    if kind == "gone":
        del parent[path[-1]]
    elif kind == "new":
        target = parent if isinstance(parent, dict) else tree
        target["further" if isinstance(target, dict) else 0] = draw.choice(WILD)
    elif kind == "number":
        old = parent[path[-1]]
        factor = draw.choice([-1, 0, 2, 1e6])
        parent[path[-1]] = old * factor if isinstance(old, int | float) else draw.choice(WILD)
    elif kind == "raw":
        parent[path[-1]] = "@here@"
        return json.dumps(tree).replace('"@here@"', draw.choice(RAW)).encode()
    else:
        parent[path[-1]] = draw.choice(WILD)
    return json.dumps(tree).encode()


def _at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def one_sentence(error: EdgedistillError) -> None:
    assert str(error).count("\n") == 0
    assert len(str(error)) < 4000
    str(error).encode()


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_never_taken_for_what_it_was(malleable, name):
    """Nobody vouches for the change: the list of sha256 catches all of them."""
    draw = random.Random(f"unvouched {name}")
    content = json.loads(malleable.before[name])
    for _ in range(60):
        raw = changed(content, draw)
        malleable.put(False, **{name.replace(".", "__"): raw})
        try:
            with pytest.raises(EdgedistillError, match="has changed") as refused:
                open_bundle(malleable.folder)
            one_sentence(refused.value)
        finally:
            malleable.back()


@pytest.mark.parametrize(("name", "count"), [("bundle.json", 200), ("golden.json", 200), ("labels.json", 60)])
def test_a_change_that_is_vouched_for_is_a_sentence_or_harmless(malleable, name, count):
    """Whoever writes a bundle writes its list as well. What opens still has this test's tolerance, numbers, files."""
    draw = random.Random(f"vouched {name}")
    content = json.loads(malleable.before[name])
    refusals, opened = 0, 0
    for _ in range(count):
        raw = changed(content, draw)
        malleable.put(True, **{name.replace(".", "__"): raw})
        try:
            found = open_bundle(malleable.folder)
        except UserError as error:
            one_sentence(error)
            refusals += 1
        else:
            opened += 1
            same_test(malleable.original, found)
        finally:
            malleable.back()
    assert refusals > 0.7 * count, (refusals, opened)
    assert open_bundle(malleable.folder).golden.tolerance == malleable.original.golden.tolerance


def same_test(before, now) -> None:
    """As strict and as finite as before, on the same files and the same number of answers."""
    rows = now.golden.answers.values["logits"]
    assert np.isfinite(rows).all()
    json.dumps(
        [list(map(asdict, now.golden.texts)), now.golden.reason, now.labels], ensure_ascii=False
    ).encode()  # can be printed
    assert now.golden.tolerance <= max(1e-3, largest_tolerance(rows))
    assert now.golden.tolerance == pytest.approx(before.golden.tolerance) or (
        now.facts.max_abs_diff != before.facts.max_abs_diff  # the run's own figure says another
        or now.golden.texts != before.golden.texts
    )
    assert now.opened == before.opened
    assert now.facts.device_files == before.facts.device_files
    for file in now.opened["model"].files.values():
        assert before.folder.resolve() in file.resolve().parents


def test_the_list_itself(malleable):
    draw = random.Random("sha256.txt")
    before = malleable.before["sha256.txt"].decode()
    lines = before.splitlines()
    cases = [
        "\n".join(lines[: draw.randrange(len(lines))]),
        before + lines[0] + "\n",
        before + "0" * 64 + "  ../bundle.json\n",
        before + "0" * 64 + "  /etc/hostname\n",
        before + "0" * 64 + "  onnx\\model.onnx\n",
        before + "0" * 64 + "  c:model.onnx\n",
        before + "0" * 64 + "  onnx/./model.onnx\n",
        before + "0" * 64 + "  sha256.txt\n",
        before + "0" * 64 + "  " + "x" * 3000 + "\n",
        before + "0" * 64 + "  gone.txt\n",
        before.replace("  ", " "),
        before.upper(),
        "",
        "\0" * 10,
    ]
    cases += [
        "\n".join(line for line in lines if name not in line)
        for name in (*BINARIES, "onnx/", "tokenizer.json", "golden.json")
    ]
    for _ in range(100):
        raw = bytearray(before.encode())
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        cases.append(bytes(raw).decode("utf-8", "surrogateescape"))
    for case in cases:
        malleable.put(False, sha256__txt=case.encode("utf-8", "surrogateescape"))
        try:
            with pytest.raises(EdgedistillError) as refused:
                open_bundle(malleable.folder)
            one_sentence(refused.value)
        finally:
            malleable.back()


def model(files, **port):
    """`components` of one model with these files."""
    ports = [{"name": "input_ids", "type": "int64", "shape": None} | port]
    return {"components": {"model": {"files": files, "inputs": ports, "outputs": ports}}}


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("golden.json", {"tolerance": 1e9}, "tolerance is 1e\\+09, expected"),
        ("golden.json", {"tolerance": 0}, "tolerance is 0, expected"),
        ("golden.json", {"tolerance": "0.001"}, "tolerance is '0.001', expected a number"),
        ("golden.json", {"items": []}, "has 0 golden inputs, expected 1 to 100000, as in golden-items.safetensors"),
        ("bundle.json", model([[None, "../model.onnx"]]), "files names '../model.onnx', expected a path inside"),
        ("bundle.json", model([[None, "labels.json"]]), "files names 'labels.json', which is not among its device"),
        ("bundle.json", model([[8, "a.onnx"], [None, "b.onnx"]]), "expected pairs of a length"),
        ("bundle.json", model([[None, "a"]], type="text"), "type is 'text', expected one of int8"),
        ("bundle.json", model([[None, "a"]], shape=[-1]), "shape is \\[-1\\], expected a list of sizes"),
        ("bundle.json", {"components": {}}, "components is \\[\\], expected at least one"),
        ("bundle.json", {"components": {"a b": {}}}, "components is 'a b', expected names"),
        ("bundle.json", {"labels": 4}, "labels is 4, expected 3, as in labels.json"),
        ("bundle.json", {"surprise": 1}, "has 'surprise', which this version of edgedistill does not know"),
        ("bundle.json", {"schema": "edgedistill/bundle/3"}, "schema is 'edgedistill/bundle/3', expected"),
        ("bundle.json", {"schema": "edgedistill/bundle/1"}, "lacks 'opened'"),
        ("bundle.json", {"threads": 0}, "threads is 0, expected a whole number from 1"),
        ("bundle.json", {"candidate": "r9/a/b/c"}, "candidate is 'r9/a/b/c', expected"),
    ],
)
def test_what_is_wrong_is_said(bundle, change, name, values, expected):
    with pytest.raises(UserError, match=expected):
        open_bundle(change(name, **values))


def test_numbers_that_are_none(change_answers, bundle):
    for number in (np.nan, np.inf):
        with pytest.raises(UserError, match="expected finite numbers within the range of float32"):
            open_bundle(change_answers(lambda logits: logits.__setitem__((3, 1), number)))  # noqa: B023 - called at once
    (bundle / "golden.json").unlink()
    (bundle / "golden.json").write_text('{"schema": "edgedistill/golden/2", "tolerance": NaN}')
    write_hashes(bundle)
    with pytest.raises(UserError, match="NaN is not a JSON number"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", BINARIES)
def test_arrays_that_are_vouched_for_are_a_sentence_or_harmless(malleable, name):
    """A byte of the header or the numbers, or an end that is missing."""
    draw, before, opened = random.Random(name), (malleable.folder / name).read_bytes(), 0
    for _ in range(100):
        raw = bytearray(before)
        raw[draw.randrange(len(raw)) if draw.random() < 0.5 else draw.randrange(600)] = draw.randrange(256)
        raw = raw[: draw.randrange(len(raw))] if draw.random() < 0.2 else raw
        malleable.put(True, **{name.replace(".", "__"): bytes(raw)})
        try:
            found = open_bundle(malleable.folder)
        except UserError as error:
            one_sentence(error)
        else:
            opened += 1
            assert found.golden.tolerance == pytest.approx(malleable.original.golden.tolerance)
            assert np.isfinite(found.golden.answers.values["logits"]).all()
        finally:
            malleable.back()
            (malleable.folder / name).write_bytes(before)
    assert opened < 90


def test_answers_to_other_items_are_refused(bundle):
    answers = Answers.open(bundle / "golden-answers.safetensors")
    for wrong in (answers.where(np.arange(len(answers) - 1)), replace(answers, item=answers.item[::-1])):
        (bundle / "golden-answers.safetensors").unlink()
        wrong.save(bundle / "golden-answers.safetensors")
        write_hashes(bundle)
        with pytest.raises(UserError, match=r"does not answer the items of golden-items\.safetensors exactly once"):
            open_bundle(bundle)


def test_links_may_not_lead_outside(bundle, tmp_path):
    labels = bundle / "labels.json"
    (tmp_path / "labels.json").write_bytes(labels.read_bytes())
    labels.unlink()
    labels.symlink_to(tmp_path / "labels.json")
    write_hashes(bundle)
    with pytest.raises(UserError, match="'labels.json' is a link to outside the bundle"):
        open_bundle(bundle)
    labels.unlink()
    labels.symlink_to("labels.json")
    with pytest.raises(EdgedistillError, match="labels.json"):
        open_bundle(bundle)


def test_what_is_not_the_bundles_is_said_and_beside_the_model_refused(bundle, tmp_path):
    (bundle / "bundle-results.json").write_text("{}")
    assert open_bundle(bundle).unlisted == ()
    (bundle / "onnxruntime.py").write_text("open('ran', 'w')")
    assert open_bundle(bundle).unlisted == ("onnxruntime.py",)
    done = subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", "measure", str(bundle), "--min-seconds", "0.1"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning: 'onnxruntime.py' in" in done.stderr
    (bundle / "onnx" / "model.onnx.data").write_text("weights")
    with pytest.raises(UserError, match=r"'onnx/model.onnx.data' is beside the model's files"):
        open_bundle(bundle)


def test_the_command_ends_with_2_for_a_malformed_bundle(bundle, change, tmp_path):
    change("golden.json", tolerance=1e9)
    done = subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", "measure", str(bundle)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {bundle / 'golden.json'}: tolerance is 1e+09, expected ")
    assert done.stderr.count("\n") == 1
