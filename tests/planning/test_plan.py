from __future__ import annotations

import copy
import subprocess
import sys

import pytest
from helpers import write_jsonl, write_recipe, write_weights
from pydantic import BaseModel

from edgedistill.errors import UserError
from edgedistill.planning import Plan, fingerprints, make_plan
from edgedistill.recipe import reading, references
from edgedistill.recipe.schema import Recipe


def planned(tree: dict[str, object], *overrides: str) -> Plan:
    copied = copy.deepcopy(tree)
    for override in overrides:
        reading._override(copied, override)
    recipe = reading.validate(copied, "test")
    return make_plan(recipe, fingerprints.look_up(recipe))


def changed(tree: dict[str, object], *overrides: str) -> set[str]:
    """Steps that must run again after a change."""
    before = {step.key for step in planned(tree).steps}
    return {step.name for step in planned(tree, *overrides).steps if step.key not in before}


# Every key of a recipe, a value other than in the tiny recipe, and the first steps that must run again for it.
KEYS = [
    ("seed=1", {"teacher", "r1"}),
    ("name=other", {"report"}),
    ("task.metric=f1_macro", {"teacher", "r1", "choose"}),
    ("task.metrics=[accuracy,f1_macro]", {"report"}),
    ("data.max_length=16", {"data"}),
    ("data.train.split=train[:90%]", {"data"}),
    ("data.validation.split=train[:90%]", {"data-validation", "teacher", "r1", "choose"}),
    ("data.test.split=train[:90%]", {"data-test", "test-r1", "measure", "report"}),
    ("data.unlabeled.split=train[:90%]", {"data-unlabeled", "r1"}),
    ("data.columns.text=label", {"data"}),
    ("data.labels={weather: w}", {"data"}),
    ("teacher.scratch.layers=3", {"teacher"}),
    ("teacher.scratch.hidden_size=16", {"teacher"}),
    ("teacher.scratch.heads=2", {"teacher"}),
    ("teacher.scratch.intermediate_size=32", {"teacher"}),
    ("teacher.scratch.vocabulary=200", {"data"}),
    ("teacher.scratch.dropout=0.3", {"teacher"}),
    ("teacher.accept_chance=true", {"teacher"}),
    ("teacher.fine_tune.epochs=3", {"teacher"}),
    ("teacher.fine_tune.learning_rate=1e-4", {"teacher"}),
    ("teacher.fine_tune.batch_size=8", {"teacher"}),
    ("teacher.fine_tune.warmup=0.5", {"teacher"}),
    ("teacher.fine_tune.weight_decay=0.2", {"teacher"}),
    ("teacher.fine_tune.max_grad_norm=0.1", {"teacher"}),
    ("rounds.0.student.layers=2", {"r1", "r1-control"}),
    ("rounds.0.stages.0.name=other", {"r1"}),
    ("rounds.0.stages.0.data=[train]", {"r1"}),
    ("rounds.0.stages.0.epochs=3", {"r1", "r1-control"}),
    ("rounds.0.stages.0.learning_rate=1e-4", {"r1", "r1-control"}),
    ("rounds.0.stages.0.batch_size=8", {"r1", "r1-control"}),
    ("rounds.0.stages.0.warmup=0.4", {"r1", "r1-control"}),
    ("rounds.0.stages.0.weight_decay=0.4", {"r1", "r1-control"}),
    ("rounds.0.stages.0.max_grad_norm=0.4", {"r1", "r1-control"}),
    ("rounds.0.stages.0.dropout=0.0", {"r1", "r1-control"}),
    ("rounds.0.stages.0.quantize=int4", {"r1", "r1-control"}),
    ("rounds.0.stages.0.losses.0.temperature=4", {"r1"}),
    ("rounds.0.stages.0.losses.0.weight=0.5", {"r1"}),
    ("rounds.0.stages.0.losses.1.smoothing=0.1", {"r1"}),
    ("rounds.0.stages.0.losses.2.layers=last", {"hidden-teacher-train-r1", "r1"}),
    ("rounds.1.teacher=teacher", {"r2"}),
    ("rounds.1.student.from=teacher", {"r2", "r2-control"}),
    ("rounds.1.student.hidden_size=24", {"r2", "r2-control"}),
    ("rounds.1.student.heads=2", {"r2", "r2-control"}),
    ("rounds.1.student.intermediate_size=24", {"r2", "r2-control"}),
    ("compute.device=auto", {"teacher"}),
    ("compute.precision=bf16", {"teacher"}),
    ("export.teacher=true", {"file-teacher-onnx-fp32", "measure", "choose"}),
    ("export.targets=[ort-mobile]", {"file-r1-ort-mobile-fp32", "verify-r1-ort-mobile-fp32-onnxruntime", "measure"}),
    ("quantize.1.precision=fp16", {"file-r1-onnx-fp16", "measure", "choose"}),
    ("verify.min_agreement=0.9", {"choose", "report"}),
    ("measure.threads=[2]", {"measure", "choose"}),
    ("measure.batch=[4]", {"measure", "choose"}),
    ("measure.lengths=16", {"measure", "choose"}),
    ("measure.min_seconds=0.2", {"measure", "choose"}),
    ("select.limits.file_mb=4", {"choose", "report"}),
    ("select.limits.shipped_mb=4", {"choose", "report"}),
    ("select.limits.p95_ms=4", {"choose", "report"}),
    ("select.limits.peak_rss_mb=400", {"choose", "report"}),
    ("select.limits.load_ms=400", {"choose", "report"}),
    ("select.limits.drop=0.1", {"choose", "report"}),
    ("select.prefer=size", {"choose", "report"}),
    ("select.tie=0.1", {"choose", "report"}),
]


ERRORS = "rounds.0.stages.0.errors={of: teacher}"
STOP = "stop={when: {drop: 0.02}}"
CHOICE = "rounds.1.teacher={choose: [teacher, r1]}"
ELSEWHERE = "evaluate.ood={far: {path: UNLABELED}}"
FACTORISED = "rounds.1.student={init: factorise, embedding_size: 8}"
PRUNED = "rounds.1.student={init: prune, parameters: 9000}"
VIEWS = "rounds.0.stages.0.augment={typo: 0.2}"
FIRST_ONLY = "rounds.1.teacher=teacher"
"""So that no teachers are averaged, which only logits can be."""
MIX = "quantize.1={name: small, parts: {embeddings: int4, attention: int8-dynamic}}"
SEARCH = "quantize.1={name: found, search: {max_drop: 0.01, trials: 9}}"
TOP_K = "signals.form=top-k"
STATIC = "quantize.1.precision=int8-static"
MIXED = "quantize.1={name: small, parts: {attention: int8-static}}"
# Keys of parts that the tiny recipe lacks: the part, a change in it, and what must run again for that.
KEYS_OF_PARTS = [
    ((), "seeds=[5]", {"r1-seed5", "r2-seed5", "r1-control-seed5", "evaluate-r2-seed5", "report"}),
    ((), ERRORS, {"r1"}),
    ((ERRORS,), "rounds.0.stages.0.errors.against=teacher", {"r1"}),
    ((ERRORS,), "rounds.0.stages.0.errors.kind=boost", {"r1"}),
    ((ERRORS,), "rounds.0.stages.0.errors.strength=3", {"r1"}),
    ((ERRORS,), "rounds.0.stages.0.errors.apply=oversample", {"r1"}),
    (("rounds.1.stages.0.errors={of: teacher}",), "rounds.1.stages.0.errors.of=r1", {"r2"}),
    ((), "rounds.0.stages.0.teacher_errors=0.5", {"r1"}),
    ((), STOP, {"judge-r1", "judge-r2", "report"}),
    ((STOP,), "stop.when.drop=0.5", {"judge-r1", "judge-r2"}),
    ((STOP,), "stop.when.limits_met=true", {"judge-r1", "judge-r2"}),
    ((STOP,), "verify.min_agreement=0.9", {"judge-r1", "judge-r2", "choose", "report"}),
    ((STOP,), "stop.test=mcnemar", {"judge-r1", "judge-r2"}),
    ((STOP,), "stop.alpha=0.01", {"judge-r1", "judge-r2"}),
    ((), CHOICE, {"r2-trial-1", "r2-trial-2", "r2-teacher", "r2"}),
    ((CHOICE,), "rounds.1.teacher.choose=[r1, teacher]", {"r2-teacher", "r2"}),
    ((CHOICE,), "rounds.1.teacher.epochs=2", {"r2-trial-1", "r2-trial-2", "r2-teacher", "r2"}),
    ((), "signals.max_gb=0", {"r1"}),
    ((FIRST_ONLY,), "signals.form=top-k", {"top-k-teacher-train-r1", "r1"}),
    ((FIRST_ONLY,), "rounds.0.signals={form: top-k}", {"top-k-teacher-train-r1", "r1"}),
    ((FIRST_ONLY, TOP_K), "signals.k=2", {"top-k-teacher-train-r1", "r1"}),
    ((FIRST_ONLY, TOP_K), "signals.log_p_bits=8", {"top-k-teacher-train-r1", "r1"}),
    ((FIRST_ONLY, TOP_K), "rounds.0.stages.0.losses.0.temperature=5", {"top-k-teacher-train-r1", "r1"}),
    ((), FACTORISED, {"r2", "r2-control"}),
    ((FACTORISED,), "rounds.1.student.embedding_size=9", {"r2", "r2-control"}),
    ((FACTORISED,), "rounds.1.student.layers=1", {"r2", "r2-control"}),
    ((FACTORISED,), "rounds.1.student.from=r1", {"r2", "r2-control"}),
    ((), PRUNED, {"r2", "r2-control"}),
    ((PRUNED,), "rounds.1.student.parameters=9001", {"r2", "r2-control"}),
    ((PRUNED,), "rounds.1.student.from=r1", {"r2", "r2-control"}),
    ((ELSEWHERE,), "evaluate.ood.far.split=train[:50%]", {"ood", "test-r1", "report"}),
    ((), ELSEWHERE, {"ood", "test-r1", "report"}),
    ((STATIC,), "quantize.1.calibration={from: unlabeled}", {"file-r1-onnx-int8-static", "measure"}),
    ((STATIC,), "quantize.1.calibration={take: 8}", {"file-r1-onnx-int8-static", "measure"}),
    ((MIXED,), "quantize.1.calibration={take: 8}", {"file-r1-onnx-small", "measure"}),
    ((MIXED,), "quantize.1.calibration={method: entropy}", {"file-r1-onnx-small", "measure"}),
    (
        (STATIC, "quantize.1.calibration={take: 8}"),
        "quantize.1.calibration.from=unlabeled",
        {"file-r1-onnx-int8-static"},
    ),
    (
        (STATIC, "quantize.1.calibration={take: 8}"),
        "quantize.1.calibration.method=entropy",
        {"file-r1-onnx-int8-static"},
    ),
    ((STATIC, "quantize.1.calibration={take: 8}"), "quantize.1.calibration.take=9", {"file-r1-onnx-int8-static"}),
    ((), MIX, {"file-r1-onnx-small", "verify-r1-onnx-small-onnxruntime", "measure"}),
    ((MIX,), "quantize.1.name=tiny", {"file-r1-onnx-tiny", "measure"}),
    ((MIX,), "quantize.1.block=64", {"file-r1-onnx-small", "measure"}),
    *(
        ((MIX,), f"quantize.1.parts.{part}=int2", {"file-r1-onnx-small", "measure"})
        for part in ("embeddings", "attention", "feed_forward", "head")
    ),
    ((), SEARCH, {"file-r1-onnx-found", "verify-r1-onnx-found-onnxruntime", "measure", "choose"}),
    *(
        ((SEARCH,), f"quantize.1.{change}", {"file-r1-onnx-found", "measure", "choose"})
        for change in (
            "search.max_drop=0.02",
            "search.trials=8",
            "search.prefer=latency",
            "search.precisions=[int2, int8-dynamic]",
            "block=64",
        )
    ),
    ((), VIEWS, {"views-r1-soft-targets", "logits-teacher-train-r1-soft-targets", "r1", "r1-control"}),
    *(
        ((VIEWS,), f"rounds.0.stages.0.augment.{key}={value}", {"views-r1-soft-targets", "r1"})
        for key, value in (
            ("copies", 2),
            ("delete", 0.1),
            ("swap", 0.1),
            ("typo", 0.1),
            ("mask", 0.1),
            ("join", 0.3),
            ("labels", "false"),
        )
    ),
]


@pytest.mark.parametrize(("parts", "override", "expected"), KEYS_OF_PARTS)
def test_a_changed_key_of_a_part_reruns_what_depends_on_it(recipe_tree, data_folder, parts, override, expected):
    *parts, override = (part.replace("UNLABELED", str(data_folder / "unlabeled.jsonl")) for part in (*parts, override))
    before = {step.key for step in planned(recipe_tree, *parts).steps}
    found = {step.name for step in planned(recipe_tree, *parts, override).steps if step.key not in before}
    assert expected <= found
    if "data" not in expected:
        assert not found & {"data", "teacher"}
    if "augment" not in override and "data" not in expected:  # the control learns from the views too
        assert "r1-control" not in found


def test_replacing_words_depends_on_the_masked_language_model(recipe_tree, tmp_path):
    keys = set()
    for content in ("one", "two"):
        (tmp_path / content).mkdir()
        write_weights(tmp_path / content, content)
        (tmp_path / content / "config.json").write_text('{"model_type": "bert"}')
        augment = f"rounds.0.stages.0.augment={{replace: 0.2, masked_lm: {tmp_path / content}}}"
        keys.add(planned(recipe_tree, augment).step("views-r1-soft-targets").key)
    assert len(keys) == 2


def test_hidden_states_too_large_to_keep_are_live_and_the_plan_says_why(recipe_tree):
    plan = planned(recipe_tree, "signals.max_gb=0")
    assert not [step for step in plan.steps if step.name.startswith("hidden-")]
    assert "hidden live: about 0.0 GB exceed signals.max_gb 0" in plan.step("r1").summary


@pytest.mark.parametrize(("override", "expected"), KEYS)
def test_a_changed_key_reruns_what_depends_on_it(recipe_tree, override, expected):
    found = changed(recipe_tree, override)
    assert expected <= found
    if "teacher" not in expected and "data" not in expected:
        assert "teacher" not in found


def test_every_recipe_key_is_in_the_list_above(recipe_tree):
    covered = {override.split("=")[0] for override, _ in KEYS}
    covered |= {override.split("=")[0] for _, override, _ in KEYS_OF_PARTS}
    # Told apart elsewhere in this file, or the choice of a whole group.
    covered |= {
        "schema",
        "control",
        "rounds.0.id",
        "rounds.0.student.init",
        "teacher.model",
        "teacher.revision",
        "rounds.0.stages.0.augment.replace",
        "rounds.0.stages.0.augment.masked_lm",
        "signals.hidden_bits",
        # tests/test_devices.py
        "export.buckets",
        "export.timeout_minutes",
        "measure.timeout_minutes",
    }
    generic = {".".join(part for part in path.split(".") if not part.isdigit()) for path in covered}

    def keys(model: type[BaseModel], prefix: str) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            key = f"{prefix}{field.alias or name}"
            inner = references.models_in(field.annotation) or references.models_in(references.item_of(field.annotation))
            found |= {inner_key for one in inner for inner_key in keys(one, f"{key}.")} if inner else {key}
        return found

    per_source = {"path", "hub", "bundled", "subset", "revision", "split"}
    missing = {
        key
        for key in keys(Recipe, "") - generic
        if not (key.startswith("data.") and key.split(".")[-1] in per_source)
        and not key.startswith(("rounds.student.", "rounds.stages.losses.", "data.columns", "evaluate.ood"))
        and not key.startswith(("rounds.data.", "rounds.fine_tune.", "rounds.signals."))  # tests/test_own_data.py
    }
    elsewhere = {
        "measure.runtimes",
        "task.type",
    }  # tests/exporting/test_candidates.py, tests/test_toy_tasks.py, above
    elsewhere |= {
        "measure.prompts",
        "select.limits.ttft_ms",
        "select.limits.tokens_per_s",
    }  # tests/planning/test_speeds_in_plans.py
    elsewhere |= {"measure.emulation.cpu", "measure.emulation.items"}  # tests/steps/test_emulate.py
    assert missing <= elsewhere


def test_a_new_test_set_changes_what_reads_it_and_nothing_else(recipe_tree):
    tested = {f"test-{model}" for model in ("teacher", "r1", "r1-control", "r2", "r2-control")}
    expected = {"data-test", *tested, "measure", "choose", "report", "bundle"}
    assert changed(recipe_tree, "data.test.split=train[:90%]") == expected


def test_a_new_test_set_is_read_in_a_students_own_tokens(recipe_tree):
    recipe_tree["rounds"][1]["student"] = {"init": "trim_vocabulary", "from": "r1"}
    found = changed(recipe_tree, "data.test.split=train[:90%]")
    assert {"data-test", "data-r2-test", "test-r2"} <= found
    assert not found & {"data-r2", "data-r2-validation", "r2", "evaluate-r2", "verify-r2-onnx-fp32-onnxruntime"}


def test_a_round_may_not_have_the_name_of_a_step(recipe_tree):
    recipe_tree["rounds"][1]["id"] = "measure"
    with pytest.raises(UserError, match="the id 'measure' is already the name of a step, expected another id"):
        planned(recipe_tree)


def test_a_losses_temperature_leaves_the_control_alone(recipe_tree):
    found = changed(recipe_tree, "rounds.0.stages.0.losses.0.temperature=4")
    assert "r1-control" not in found
    assert "logits-teacher-train" not in found


def test_a_last_rounds_change_leaves_the_rounds_before_alone(recipe_tree):
    found = changed(recipe_tree, "rounds.1.stages.0.learning_rate=5e-4")
    assert "r2" in found
    assert not found & {
        "data",
        "teacher",
        "r1",
        "r1-control",
        "file-r1-onnx-fp32",
        "file-r1-onnx-int8-dynamic",
    }


def test_without_control_there_is_none(recipe_tree):
    names = {step.name for step in planned(recipe_tree, "control=false").steps}
    assert not {name for name in names if "control" in name}
    assert "r1-control" in {step.name for step in planned(recipe_tree).steps}


def test_the_key_follows_the_datas_content_not_its_place(recipe_tree, data_folder, tmp_path):
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes((data_folder / "train.jsonl").read_bytes())
    assert changed(recipe_tree, f"data.train.path={moved}") == set()
    moved.write_bytes(moved.read_bytes().replace(b"alarm", b"alert", 1))
    assert "data" in changed(recipe_tree, f"data.train.path={moved}")


def test_rounds_share_the_signals_of_one_teacher(recipe_tree):
    names = [step.name for step in planned(recipe_tree).steps if step.kind.name == "record_signals"]
    assert names.count("logits-teacher-train") == 1
    assert set(names) == {
        "logits-teacher-train",
        "logits-teacher-unlabeled",
        "hidden-teacher-train-r1",
        "hidden-teacher-unlabeled-r1",
        "logits-r1-train",
    }


def test_steps_come_after_their_inputs(recipe_tree):
    seen: set[str] = set()
    for step in planned(recipe_tree).steps:
        assert step.sources <= seen
        seen.add(step.name)


def test_several_threads_and_batches_are_candidates_of_one_file(recipe_tree):
    plan = planned(recipe_tree, "measure.threads=[1,2]", "measure.batch=[1,8]")
    assert len(plan.candidates) == 2 * 2 * 4
    assert "r1/onnx/fp32/onnxruntime@threads=2,batch=8" in {row.id for row in plan.candidates}
    assert len([step for step in plan.steps if step.kind.name == "verify"]) == 4


def test_a_file_is_made_once_of_the_one_it_is_made_of(recipe_tree):
    plan = planned(recipe_tree, "export.targets=[ort-mobile]", "quantize=[{precision: int8-dynamic}]")
    makers = [step for step in plan.steps if step.kind.name == "make_file"]
    sources = {step.name: vars(step.inputs)["source"] for step in makers}
    files = {name: source and source.step for name, source in sources.items()}
    assert files == {
        f"file-{model}-{name}": source and f"file-{model}-{source}"
        for model in ("r1", "r2")
        for name, source in {
            "onnx-fp32": None,
            "onnx-int8-dynamic": "onnx-fp32",
            "ort-mobile-int8-dynamic": "onnx-int8-dynamic",
        }.items()
    }
    assert {row.target for row in plan.candidates} == {"ort-mobile"}
    assert not [step for step in plan.steps if step.name.startswith("verify") and "-onnx-" in step.name]


def test_estimates_follow_the_recipe(recipe_tree):
    teacher, first, second = planned(recipe_tree).models
    assert (first.layers, first.hidden_size) == (1, 32)
    assert (second.layers, second.hidden_size) == (1, 16)
    assert teacher.parameters > first.parameters > second.parameters
    assert 4 * first.parameters < first.file_bytes["fp32"] < 4 * first.parameters + 20_000  # and the graph


def test_a_hub_model_that_is_not_here_plans_with_unknown_sizes(recipe_tree):
    recipe_tree["teacher"] = {"model": "someone/absent", "revision": "abc", "fine_tune": {"epochs": 1}}
    plan = planned(recipe_tree)
    assert plan.models[0].parameters is None
    assert plan.models[1].parameters is None
    assert plan.models[1].layers is None
    recipe_tree["teacher"]["revision"] = "def"
    assert plan.step("teacher").key != planned(recipe_tree).step("teacher").key


def test_planning_loads_neither_torch_nor_transformers(recipe_tree, tmp_path):
    code = (
        "import sys, edgedistill.api as api; "
        f"api.plan({write_recipe(recipe_tree, tmp_path)!r}); "
        "print([name for name in ('torch', 'transformers', 'datasets', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_data_file_is_named(recipe_tree):
    with pytest.raises(UserError, match=r"data.test.path: got '/nowhere/x.jsonl', expected an existing file or folder"):
        planned(recipe_tree, "data.test.path=/nowhere/x.jsonl")


def test_an_unknown_file_type_is_refused(recipe_tree, tmp_path):
    other = write_jsonl(tmp_path / "rows.xlsx", [{"text": "a", "label": "b"}])
    with pytest.raises(UserError, match=r"expected .jsonl, .json, .csv, .parquet"):
        planned(recipe_tree, f"data.test.path={other}")
