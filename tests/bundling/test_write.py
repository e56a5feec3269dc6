from __future__ import annotations

import json
import shutil

import onnxruntime
import pytest
from helpers import assert_close
from transformers import AutoConfig, AutoTokenizer

import edgedistill
from edgedistill.bundling.layout import open_bundle
from edgedistill.errors import EdgedistillError, UserError


def test_a_run_leaves_the_bundle_of_what_it_chose(finished_run):
    folder = finished_run.folder / "bundle"
    facts = json.loads((folder / "bundle.json").read_text())
    assert open_bundle(folder).facts.candidate == facts["candidate"]
    row = finished_run.results.candidate(finished_run.results.chosen)
    assert facts["schema"] == "edgedistill/bundle/2"
    assert facts["candidate"] == row.id
    assert facts["chosen"] is True
    assert facts["measured"]["figures"][0]["value"] == row.test.value
    model = facts["components"]["model"]
    assert [port["name"] for port in model["inputs"]] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [(port["name"], port["type"]) for port in model["outputs"]] == [("logits", "float32")]
    assert [str(folder / name) for name in facts["device_files"]] == [
        str(folder / row.target / row.file.split("/")[-1])
    ]
    assert (folder / row.target / row.file.split("/")[-1]).read_bytes() == (finished_run.folder / row.file).read_bytes()
    assert not list(finished_run.folder.glob("*.partial"))


def test_transformers_reads_the_folder(finished_run):
    folder = finished_run.folder / "bundle"
    labels = json.loads((folder / "labels.json").read_text())
    assert list(AutoConfig.from_pretrained(folder).id2label.values()) == labels
    assert AutoTokenizer.from_pretrained(folder)("wake me").input_ids


def test_golden_answers_are_those_of_the_file(finished_run):
    folder = finished_run.folder / "bundle"
    bundle = open_bundle(folder)
    golden = bundle.golden
    session = onnxruntime.InferenceSession(bundle.opened["model"].files[None], providers=["CPUExecutionProvider"])
    texts = {row["text"] for row in map(json.loads, _split(finished_run, "validation"))}
    lengths = []
    for number, text in enumerate(golden.texts):
        assert text.text in texts
        inputs = golden.items.inputs([number])
        given = session.run(None, {port.name: inputs[port.name] for port in session.get_inputs()})[0]
        assert_close(given, golden.answers.of_items([number]).values["logits"], atol=1e-6)
        assert text.answers == (json.loads((folder / "labels.json").read_text())[int(given.argmax())],)
        lengths.append(inputs["input_ids"].shape[1])
    assert len(golden.items) == 32
    assert max(lengths) > min(lengths)


def test_any_candidate_can_be_bundled_anywhere(finished_run, tmp_path):
    wanted = "r1/onnx/int8-dynamic/onnxruntime"
    place = edgedistill.bundle(finished_run.folder, wanted, out=tmp_path / "elsewhere")
    bundle = open_bundle(place)
    row = finished_run.results.candidate(wanted)
    assert bundle.facts.candidate == wanted
    assert bundle.facts.chosen is (finished_run.results.chosen == wanted)
    assert bundle.golden.tolerance == pytest.approx(max(1e-3, row.max_abs_diff))
    assert edgedistill.bundle(finished_run.folder, wanted, out=place) == place
    assert not list(tmp_path.glob("*.partial"))


def test_a_bundle_needs_neither_the_recipes_data_nor_its_place(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "bundle")
    assert open_bundle(edgedistill.bundle(tmp_path / "moved")).facts.candidate == finished_run.results.chosen


def test_what_cannot_be_bundled_gets_a_sentence(finished_run, tmp_path):
    with pytest.raises(
        UserError, match=r"'r9/x' cannot be bundled, the run has no such candidate; expected one of r1/"
    ):
        edgedistill.bundle(finished_run.folder, "r9/x", out=tmp_path / "b")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is not a bundle"):
        edgedistill.bundle(finished_run.folder, out=tmp_path / "full")
    assert (tmp_path / "full" / "precious.txt").is_file()
    shutil.copytree(finished_run.folder, tmp_path / "thin")
    shutil.rmtree(tmp_path / "thin" / "steps")
    with pytest.raises(UserError, match="run the recipe again"):
        edgedistill.bundle(tmp_path / "thin")
    assert not list(tmp_path.glob("*.partial"))


def test_nothing_chosen_is_no_bundle_and_an_old_one_goes(finished_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(finished_run.folder, run)
    results = edgedistill.run(finished_run.recipe, ["select.limits.file_mb=0.0001"], out=run)
    assert results.chosen is None
    assert not (run / "bundle").exists()
    with pytest.raises(UserError, match="has no chosen candidate .* name one with --candidate"):
        edgedistill.bundle(run)
    named = edgedistill.bundle(run, "r2/onnx/fp32/onnxruntime")
    assert named == run / "bundle-r2-onnx-fp32-onnxruntime"
    card = (named / "MODEL_CARD.md").read_text()
    assert "This is not the candidate the run chose; the run chose nothing." in card
    assert "exceeds the limit of 0.0001 MB" in card


def test_the_users_own_files_in_a_bundle_stay_and_a_damaged_step_makes_none(finished_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(finished_run.folder, run)
    (run / "bundle" / "bundle-results.json").write_text("{}")
    (run / "bundle" / "notes").mkdir()
    (run / "bundle" / "notes" / "mine.txt").write_text("mine")
    (run / "bundle" / "golden.json").write_text("damaged")
    edgedistill.bundle(run)
    edgedistill.run(finished_run.recipe, out=run)
    assert (run / "bundle" / "notes" / "mine.txt").read_text() == "mine"
    assert (run / "bundle" / "bundle-results.json").read_text() == "{}"
    assert (run / "bundle" / "golden.json").read_text() != "damaged"
    assert not list(run.glob("bundle.*"))
    weights = next(run.glob("steps/??-r2/model/config.json"))
    weights.write_text(weights.read_text().replace("0", "1"))
    with pytest.raises(
        UserError, match=r"has changed since the run wrote it; run the recipe again with --verify-hashes"
    ):
        edgedistill.bundle(run, finished_run.results.chosen.replace("r1", "r2"))


def test_a_process_killed_while_a_bundle_is_replaced_loses_none_of_the_users_files(bundle, tmp_path):
    from edgedistill.runs import bundling

    place, former, partial = (tmp_path / name for name in ("kept", "kept.former", "kept.partial"))
    for copied in (former, partial):
        shutil.copytree(bundle, copied)
    (former / "mine.txt").write_text("mine")
    bundling.replace(partial, place)
    assert (place / "mine.txt").read_text() == "mine"
    assert [folder.name for folder in tmp_path.glob("kept*")] == ["kept"]


def test_every_file_is_vouched_for(bundle):
    listed = {line.split("  ", 1)[1] for line in (bundle / "sha256.txt").read_text().splitlines()}
    there = {file.relative_to(bundle).as_posix() for file in bundle.rglob("*") if file.is_file()}
    assert listed == there - {"sha256.txt"}
    card = bundle / "MODEL_CARD.md"
    card.unlink()
    with pytest.raises(EdgedistillError, match=r"MODEL_CARD.md is missing, but listed in sha256.txt"):
        open_bundle(bundle)


def _split(run, name):
    import yaml

    recipe = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    with open(recipe["data"][name]["path"], encoding="utf-8") as lines:
        return lines.read().splitlines()
