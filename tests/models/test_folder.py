from __future__ import annotations

import ast
import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import MINILM, tiny_recipe
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from edgedistill.errors import UserError
from edgedistill.models import loading
from edgedistill.models.folder import check_folder, files_read, read_config, read_weights_header, weight_files
from edgedistill.models.foreign_code import refuse_foreign_code
from edgedistill.planning import fingerprints
from edgedistill.recipe import reading

CONFIG = {"model_type": "bert", "hidden_size": 4}
CONFIG_FILES = (
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "feature_extractor_config.json",
    "special_tokens_map.json",
)


@pytest.fixture
def folder(tmp_path):
    """The least that a model's folder holds."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    save_file({"a.weight": np.ones((2, 3), np.float32)}, folder / "model.safetensors")
    return folder


def sharded(folder, weight_map):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def look_at_all(folder):
    check_folder(folder, "teacher.model: 'm'")
    read_config(folder, "teacher.model: 'm'")
    read_weights_header(folder, "teacher.model: 'm'")


def refused(folder, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        look_at_all(folder)
    assert str(caught.value).startswith("teacher.model: 'm'")
    assert "\n" not in str(caught.value)


def test_a_folder_in_order_passes(folder):
    check_folder(folder, "m")
    assert read_config(folder, "m") == CONFIG
    assert read_weights_header(folder, "m")["a.weight"].shape == (2, 3)


def test_the_modules_of_sentence_transformers_pass(folder):
    """A list where every other configuration is an object; nothing here reads it."""
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "Transformer"}]))
    check_folder(folder, "m")


@pytest.mark.skipif(not MINILM.is_dir(), reason="needs shared/models/all-MiniLM-L6-v2")
def test_a_folder_of_sentence_transformers_passes():
    check_folder(MINILM, "m")
    read_weights_header(MINILM, "m")


@pytest.mark.parametrize("file", CONFIG_FILES)
@pytest.mark.parametrize("nested", [False, True])
def test_code_is_refused_in_every_configuration_at_every_depth(folder, file, nested):
    entry = {"auto_map": {"AutoConfig": "configuration_evil.EvilConfig"}}
    content = CONFIG | ({"text_config": {"deeper": [entry]}} if nested else entry)
    (folder / file).write_text(json.dumps(content))
    refused(folder, rf"{file} requests remote code \(auto_map\), which is never run")


def test_code_is_refused_beside_a_lone_tokenizer_too(folder):
    (folder / "model.safetensors").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": ["evil.Evil", None]}))
    with pytest.raises(UserError, match="never run"):
        check_folder(folder, "m", weights=False)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"custom_pipelines": {"x": {}}}, "remote code"),
        ({"_attn_implementation": "someone/attention@v1:kernel"}, "requests the kernel 'someone/attention@v1:kernel'"),
        ({"attn_implementation": {"": "sdpa", "text_config": "kernels-community/flash-attn2"}}, "requests the kernel"),
        ({"_attn_implementation_internal": "flash_attention_2"}, "expected one of eager, sdpa"),
        ({"vision_config": {"attn_implementation": "a/b"}}, "requests the kernel"),
        ({"experts_implementation": "sonicmoe"}, "expected one of eager, batched_mm"),
        ({"use_kernels": True}, "external kernels"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "quantized weights"),
        ({"transformers_weights": "other.safetensors"}, "sets its own weight files"),
    ],
)
def test_kernels_and_other_doors_are_refused(entry, sentence):
    with pytest.raises(UserError, match=sentence):
        refuse_foreign_code(entry, "config.json", "m")


@pytest.mark.parametrize(
    "entry",
    [
        {"attn_implementation": "sdpa", "_experts_implementation": "eager", "use_kernels": False},
        {"_attn_implementation": None, "auto_map": None, "quantization_config": None},
        {"label2id": {"auto_map": 3, "quantization_config": 4, "use_kernels": 1}},
    ],
)
def test_what_is_built_in_passes(entry):
    refuse_foreign_code(entry, "config.json", "m")


@pytest.mark.parametrize(
    "part", ["pytorch_model.bin", "../x.safetensors", "/tmp/x.safetensors", "sub/x.safetensors", "a\\x.safetensors", 3]
)
def test_an_index_names_safetensors_files_of_the_folder_only(folder, part):
    sharded(folder, {"a.weight": part})
    refused(folder, r"model.safetensors.index.json names .*; expected \*.safetensors files in the same folder")


def test_an_index_beside_the_single_file_is_checked_too(folder):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    refused(folder, "names 'pytorch_model.bin'")


def test_a_part_that_is_missing_and_one_that_holds_something_else(folder):
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "model.safetensors").touch()
    sharded(folder, {"a.weight": "one.safetensors", "b.weight": "two.safetensors"})
    refused(folder, "two.safetensors is missing")
    save_file({"c.weight": np.ones(2, np.float32)}, folder / "two.safetensors")
    refused(folder, "lists 'b.weight' in two.safetensors, which does not contain it")
    save_file({"a.weight": np.ones(2, np.float32)}, folder / "two.safetensors")
    refused(folder, "a.weight is both in one.safetensors and in two.safetensors")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_link_that_leads_outside_is_refused(folder, tmp_path, file):
    (folder / file).rename(tmp_path / "elsewhere")
    (folder / file).symlink_to(tmp_path / "elsewhere")
    refused(folder, f"{file} is a link to outside the folder")


def test_links_within_the_folder_and_into_the_hubs_cache_are_files(folder, tmp_path):
    (folder / "config.json").rename(folder / "kept")
    (folder / "config.json").symlink_to("kept")
    check_folder(folder, "m")
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    blobs.mkdir()
    (snapshot / "model.safetensors").rename(blobs / "abc")
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    check_folder(snapshot, "m")
    assert snapshot / "model.safetensors" in files_read(snapshot, "m")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling", "loop"])
def test_what_is_no_file_is_refused_and_never_waited_for(folder, file, kind):
    (folder / file).unlink()
    if kind == "folder":
        (folder / file).mkdir()
    elif kind == "fifo":
        os.mkfifo(folder / file)
    else:
        (folder / file).symlink_to("nowhere" if kind == "dangling" else file)
    refused(folder, f"{file} (is not a regular file|is missing|cannot be read)")


def test_pickled_weights_and_adapters_are_refused_by_name(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, r"has no model weights in \*.safetensors \(it has pytorch_model.bin\)")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))
    refused(folder, "is an adapter")


def test_the_fingerprint_has_every_file_that_is_read_and_no_other(folder):
    read = {"vocab.txt", "merges.txt", "spiece.model", "chat_template.jinja", "added_tokens.json", "tokenizer.model.v3"}
    for name in (*read, "README.md", "LICENSE.txt", "other.safetensors", "train.py", "pytorch_model.bin"):
        (folder / name).write_text("{}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool.jinja").write_text("")
    found = {file.name for file in files_read(folder, "m")}
    assert found == read | {"config.json", "tokenizer.json", "model.safetensors", "tool.jinja"}


def test_the_parts_that_an_index_names_are_read_and_no_others(folder):
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "other.safetensors").touch()
    (folder / "model.safetensors").touch()
    sharded(folder, {"a.weight": "one.safetensors"})
    assert [file.name for file in weight_files(folder, "m")] == ["one.safetensors"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (b'{"model_type": "bert"', "cannot be read"),
        ('{"model_type": "caf\xe9"}'.encode("latin-1"), "expected JSON in UTF-8"),
        (b"[1]", "contains list, expected an object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": ' * 100 + b"1" + b"}" * 100, "more than 64 levels deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b"{}", "has the model_type None, expected the name of an architecture"),
        (b'{"model_type": 3}', "has the model_type 3"),
        (b'{"model_type": "bert", "note": "' + b"x" * (33 << 20) + b'"}', "expected at most"),
    ],
)
def test_a_config_that_is_none_is_said_to_be(folder, content, sentence):
    (folder / "config.json").write_bytes(content)
    refused(folder, sentence)


def header(folder, facts, data=b"\0" * 24):
    text = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    "facts",
    [
        {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 20]}},
        {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [4, 28]}},
        {"a": {"dtype": "F33", "shape": [2, 3], "data_offsets": [0, 24]}},
        {"a": {"dtype": "F32", "shape": [2, -3], "data_offsets": [0, 24]}},
        {"a": {"dtype": "F32", "shape": "2x3", "data_offsets": [0, 24]}},
        {"a": 3},
        [1, 2],
        b'{"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},'
        b' "a": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}}',
    ],
)
def test_a_header_that_does_not_describe_the_file_is_refused(folder, facts):
    header(folder, facts)
    refused(folder, "model.safetensors is not a valid safetensors file")


def test_weights_that_hold_nothing_are_refused(folder):
    header(folder, {}, b"")
    refused(folder, "model.safetensors contains no weights")


@given(st.binary(max_size=300))
def test_bytes_that_are_no_safetensors_never_escape(content):
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="not a valid safetensors file"):
            read_weights_header(Path(made), "m")


EVIL = {"model_type": "evil", "auto_map": {"AutoConfig": "configuration_evil.EvilConfig"}}


def with_teacher(tree, model):
    tree["teacher"] = {"model": model, "fine_tune": {"epochs": 1}}
    return "teacher.model"


def with_student(tree, model):
    tree["rounds"][0]["student"] = {"init": "checkpoint", "model": model}
    return "rounds.0.student.model"


def with_masked_lm(tree, model):
    tree["rounds"][0]["stages"][0]["augment"] = {"copies": 1, "replace": 0.2, "masked_lm": model}
    return "rounds.0.stages.0.augment.masked_lm"


@pytest.mark.parametrize("put", [with_teacher, with_student, with_masked_lm])
def test_a_plan_refuses_code_in_every_model_that_a_recipe_names(folder, data_folder, put):
    (folder / "config.json").write_text(json.dumps(EVIL))
    tree = tiny_recipe(data_folder)
    where = put(tree, str(folder))
    with pytest.raises(UserError, match=rf"^{where}: '.*': config.json requests remote code"):
        fingerprints.look_up(reading.validate(tree, "here"))


def test_a_tokenizer_folder_with_code_is_refused_without_a_question(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: (tmp_path / "CANARY").touch())
    (folder / "config.json").write_text(json.dumps(EVIL))
    (folder / "configuration_evil.py").write_text("open('CANARY', 'w')\n")
    for load in (loading.load_tokenizer, lambda place: loading.load_config(place, None)):
        with pytest.raises(UserError, match="never run"):
            load(folder)
    assert not (tmp_path / "CANARY").exists()


def calls_of(file, *names):
    """The calls of methods or functions with such a name in a module."""
    found = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [node for node in found if getattr(node.func, "attr", getattr(node.func, "id", None)) in names]


def test_models_are_opened_in_one_place_only_and_templates_are_rendered_in_one():
    """Every other module goes through the checks; chat templates are rendered by one, in the library's sandbox."""
    here = Path(loading.__file__)
    for file in here.parent.rglob("*.py"):
        renders = calls_of(file, "apply_chat_template", "pipeline")
        assert not renders or file.name == "_language_chat.py", file
        assert not calls_of(file, "from_pretrained") or file == here, file
    opened = calls_of(here, "from_pretrained")
    assert len(opened) == 3
    for call in opened:
        given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
        assert given["trust_remote_code"] is False
