"""What each stage of each arm is given to learn from: a recorder stands in place of the training loop.

What must come is recomputed from the texts: the teacher is asked about each text by itself, through transformers.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import record_of
from trunk.materials import LABELS, WORDS
from trunk.recorder import METRICS, record

from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.loss import LossInputs
from edgedistill.store.records.models import TeacherChosen
from edgedistill.training.seeds import derive

STAGES = {"r1": ["layers", "soft-targets"], "r2": ["corrections"], "r3": ["boosted"]}
ARMS = {0: "", 7: "-seed7"}
TAUGHT = {"r2": ["r1"], "r2-seed7": ["teacher"], "r3": ["teacher", "r1"], "r3-seed7": ["teacher", "r1-seed7"]}
TAUGHT |= {"r1": ["teacher"], "r1-seed7": ["teacher"]}
TAUGHT |= {"r2-trial-1": ["teacher"], "r2-trial-2": ["r1"], "r2-trial-3": ["teacher", "r1"]}
TAUGHT |= {"r2-seed7-trial-1": ["teacher"], "r2-seed7-trial-2": ["r1-seed7"]}
TAUGHT |= {"r2-seed7-trial-3": ["teacher", "r1-seed7"]}

COLUMNS = {"input_ids", "attention_mask", "token_type_ids", "labels"}
SIGNALS = ("teacher", "teacher_hidden", "teacher_embedding_BE", "weight_R", "trust_R")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record(tmp_path_factory.mktemp("wiring"))


def arms(*rounds):
    return [f"{round_}{suffix}" for round_ in rounds for suffix in ARMS.values()]


def seed_of(step):
    return 7 if "seed7" in step else 2


def round_of(step):
    return step.split("-")[0]


def test_every_arm_goes_through_every_stage_once_and_in_order(recorded):
    stages: dict[str, list[str]] = {}
    for step, name in recorded.calls:
        stages.setdefault(step, []).append(name)
    expected = {"teacher": ["fine-tune"]}
    for round_, names in STAGES.items():
        for suffix in ARMS.values():
            expected |= {f"{round_}{suffix}": names, f"{round_}-control{suffix}": names}
    expected |= {trial: ["corrections"] for trial in METRICS}
    assert stages == expected


def test_a_stage_is_named_scheduled_and_weighted_as_the_recipe_says(recorded):
    epochs = {"layers": 2, "soft-targets": 3, "corrections": 4, "boosted": 2}
    losses = {
        "layers": (("hidden_mse", 1.0), ("embedding", 1.0)),
        "soft-targets": (("kl", 0.7), ("hard_label", 0.3), ("kl_2", 0.2)),
        "corrections": (("kl", 1.0), ("hard_label", 1.0)),
        "boosted": (("kl", 1.0),),
    }
    for (step, name), call in recorded.calls.items():
        if step == "teacher":
            continue
        control = "control" in step
        assert call.request.losses == ((("hard_label", 1.0),) if control else losses[name])
        assert len(call.module.terms) == len(call.request.losses)
        assert call.request.schedule.epochs == (2 if "trial" in step else epochs[name])
        assert (call.request.schedule.learning_rate, call.request.schedule.batch_size) == (3e-3, 8)
        assert call.request.keep == ("last" if name == "layers" and not control else "best")


def test_dropout_is_what_the_stage_says(recorded):
    for (_, name), call in recorded.calls.items():
        assert call.dropout == (0.0 if name == "soft-targets" else 0.1)


def test_terms_are_built_as_the_recipe_says(recorded):
    """The temperature shows in the value: the two KL terms of one stage differ in nothing else."""
    call = recorded.calls["r1", "soft-targets"]
    first, _, second = call.module.terms
    student, given = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.0, 1.0, 0.5]])
    rows = torch.zeros(1, dtype=torch.long)
    inputs = LossInputs(Dense(student), rows, torch.ones(1, 3), teacher=Dense(given))
    for term, temperature in ((first, 2.0), (second, 4.0)):
        p, q = torch.softmax(given / temperature, 1), torch.softmax(student / temperature, 1)
        expected = temperature**2 * (p * (p / q).log()).sum()
        torch.testing.assert_close(term(inputs), expected)


@pytest.mark.parametrize("step", [*arms("r1", "r2", "r3", "r1-control", "r2-control", "r3-control"), *METRICS])
def test_each_stage_has_a_seed_by_its_round_and_name_and_the_seed_of_its_arm(recorded, step):
    names = STAGES[round_of(step)]
    seeds = [recorded.calls[step, name].request.seed for name in names]
    assert seeds == [derive(seed_of(step), round_of(step), name) for name in names]
    assert len(set(seeds)) == len(names)


@pytest.mark.parametrize("arm", ARMS.values())
def test_the_control_starts_and_goes_as_the_student_does(recorded, arm):
    for round_, names in STAGES.items():
        for name in names:
            student, control = recorded.calls[f"{round_}{arm}", name], recorded.calls[f"{round_}-control{arm}", name]
            assert control.request.steps_per_epoch == student.request.steps_per_epoch > 0
            assert control.request.schedule.epochs == student.request.schedule.epochs
            assert control.request.seed == student.request.seed
            if name == names[0]:
                for weight, value in student.before.items():
                    assert torch.equal(value, control.before[weight]), weight


def test_an_epoch_has_as_many_steps_as_the_student_has_batches(recorded):
    sizes = {"layers": 64 + 21, "soft-targets": 2 * (64 + 21), "corrections": 64, "boosted": 64}
    for (step, name), call in recorded.calls.items():
        if step != "teacher":
            assert call.request.steps_per_epoch == -(-sizes[name] // 8)


@pytest.mark.parametrize("step", arms("r1", "r2", "r3"))
def test_the_student_is_cut_from_what_its_round_names(recorded, step):
    arm = step.removeprefix(round_of(step))
    before = recorded.calls[step, STAGES[round_of(step)][0]].before
    if round_of(step) == "r1":
        source = recorded.model("teacher").state_dict()
        name = "bert.embeddings.word_embeddings.weight"
        assert torch.equal(before[name], source[name])
    else:  # narrowed, or of the source's shape only: as wide as the recipe says, as deep as the source
        source = recorded.model({"r2": f"r1{arm}", "r3": f"r2{arm}"}[round_of(step)])
        assert before["bert.embeddings.word_embeddings.weight"].shape == (len(WORDS), 8)
        assert source.config.num_hidden_layers == 1


@pytest.mark.parametrize("step", arms("r1", "r2", "r3"))
def test_every_item_comes_once_with_its_own_label(recorded, step):
    for name in STAGES[round_of(step)]:
        given = [(text, label) for text, label, _ in recorded.given(step, name)]
        train = [(row["text"], row["label"]) for row in recorded.rows["train"]]
        if round_of(step) == "r1":
            train += [(row["text"], None) for row in recorded.rows["unlabeled"]]
        if name == "soft-targets":
            labels = [row["label"] for row in recorded.rows["train"]]
            train += list(zip(recorded.views["train"], labels, strict=True))
            train += [(text, None) for text in recorded.views["unlabeled"]]
        assert given == train


def test_a_view_is_its_texts_words_in_another_order(recorded):
    for split, views in recorded.views.items():
        texts = [row["text"] for row in recorded.rows[split]]
        assert [sorted(view.split()) for view in views] == [sorted(text.split()) for text in texts]
        assert views != texts


@pytest.mark.parametrize("step", arms("r1-control", "r2-control", "r3-control"))
def test_the_control_sees_what_has_a_label_and_nothing_of_a_teacher(recorded, step):
    for name in STAGES[round_of(step)]:
        given = recorded.given(step, name)
        train = [(row["text"], row["label"]) for row in recorded.rows["train"]]
        if name == "soft-targets":
            train += list(zip(recorded.views["train"], [label for _, label in train], strict=True))
        assert [(text, label) for text, label, _ in given] == train
        assert {key for *_, batch in given for key in batch.columns} == COLUMNS
        assert all(getattr(batch, signal) in (None, {}) for *_, batch in given for signal in SIGNALS)
        assert recorded.calls[step, name].module._teacher == (None,)


LOGITS = [(step, STAGES[round_of(step)][-1]) for step in TAUGHT]


@pytest.mark.parametrize(("step", "name"), LOGITS)
def test_every_item_has_its_own_logits_of_its_own_teacher(recorded, step, name):
    given = recorded.given(step, name)
    for text, _, batch in given:
        (logits,) = batch.teacher.dense().logits_RC.numpy()
        np.testing.assert_allclose(logits, recorded.mean(TAUGHT[step], text), atol=1e-5, err_msg=text)
    assert len({tuple(batch.teacher.dense().logits_RC[0].tolist()) for *_, batch in given}) > 0.95 * len(given)


@pytest.mark.parametrize("step", arms("r1"))
def test_every_item_has_its_own_hidden_states_layer_by_layer_and_its_own_embedding(recorded, step):
    for text, _, batch in recorded.given(step, "layers"):
        _, hidden = recorded.says("teacher", text)
        # A student of one layer repeats the embeddings and the second of two layers.
        assert set(batch.teacher_hidden) == {0, 2}
        for layer in (0, 2):
            (states,) = batch.teacher_hidden[layer].numpy()
            np.testing.assert_allclose(states, hidden[layer], atol=5e-3, err_msg=f"{text}, layer {layer}")
        np.testing.assert_allclose(batch.teacher_embedding_BE[0].numpy(), hidden[2].mean(0), atol=1e-5)
        assert batch.teacher is None


def test_items_of_one_batch_keep_what_is_theirs(recorded):
    """Batches are made of several splits and lengths."""
    for step, name in (("r1", "layers"), ("r1", "soft-targets"), ("r2", "corrections")):
        data = recorded.calls[step, name].request.data
        chosen = np.random.default_rng(0).permutation(len(data.examples))[:24].tolist()
        batch = data.fetch(chosen)
        alone = {}
        for number in chosen:
            one = data.fetch([number])
            alone[tuple(one.inputs["input_ids"][0].tolist())] = one
        for row in range(len(chosen)):
            ids = batch.inputs["input_ids"][row]
            one = alone[tuple(ids[: int(batch.mask_BT[row].sum())].tolist())]
            assert torch.equal(batch.targets["labels"][row], one.targets["labels"][0])
            for key in SIGNALS:
                whole, own = getattr(batch, key), getattr(one, key)
                if key == "teacher_hidden":
                    for layer, states in own.items():
                        assert not whole[layer][row, len(states[0]) :].any()
                        assert torch.equal(whole[layer][row, : len(states[0])], states[0])
                    continue
                if key == "teacher" and own is not None:
                    whole, own = whole.logits_RC, own.logits_RC
                assert (whole is None) == (own is None)
                assert own is None or torch.equal(whole[row], own[0]), key


@pytest.mark.parametrize("step", arms("r1"))
def test_the_teacher_is_trusted_less_on_exactly_the_items_that_it_gets_wrong(recorded, step):
    seen = set()
    for text, label, batch in recorded.given(step, "soft-targets"):
        wrong = label is not None and LABELS[recorded.says("teacher", text)[0].argmax()] != label
        assert batch.trust_R.tolist() == [0.25 if wrong else 1.0], text
        seen.add(wrong)
    assert seen == {True, False}


@pytest.mark.parametrize("step", [*arms("r2"), *METRICS])
def test_every_item_has_its_own_weight_by_the_doubt_of_the_round_before(recorded, step):
    given = recorded.given(step, "corrections")
    before = f"r1{'-seed7' if 'seed7' in step else ''}"
    raw = []
    for text, label, _ in given:
        logits = recorded.says(before, text)[0].astype(float)
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        raw.append((1 - p[LABELS.index(label)]) ** 2)
    weights = [float(batch.weight_R[0]) for *_, batch in given]
    np.testing.assert_allclose(weights, np.array(raw) / np.mean(raw), rtol=1e-3, atol=1e-5)
    assert not recorded.calls[step, "corrections"].request.data.oversampled


@pytest.mark.parametrize("step", arms("r3"))
def test_an_item_that_the_round_before_gets_wrong_is_drawn_more_often(recorded, step):
    """Wrong is what contradicts this round's teachers, whose logits are averaged."""
    data, before = recorded.calls[step, "boosted"].request.data, f"r2{step.removeprefix('r3')}"
    raw = []
    for text, _, batch in recorded.given(step, "boosted"):
        assert batch.weight_R is None
        taught = recorded.mean(TAUGHT[step], text).argmax()
        raw.append(1.0 if recorded.says(before, text)[0].argmax() == taught else 3.0)
    assert set(raw) == {1.0, 3.0}
    np.testing.assert_allclose(data.draws, np.array(raw) / np.mean(raw), rtol=1e-5)


def test_the_chosen_teacher_is_the_one_with_the_best_epoch(recorded):
    for step, chosen in (("r2-teacher", ["r1"]), ("r2-seed7-teacher", ["teacher"])):
        content = record_of(TeacherChosen, recorded.folder(step))
        assert list(content.chosen) == chosen
        arm = step.removesuffix("teacher")
        assert [trial.metric for trial in content.trials] == [max(METRICS[f"{arm}trial-{n}"]) for n in (1, 2, 3)]
        assert [list(trial.teacher) for trial in content.trials] == [["teacher"], ["r1"], ["teacher", "r1"]]


def test_the_stages_of_a_round_go_on_with_one_student(recorded):
    for arm in ("r1", "r1-seed7", "r1-control"):
        first, second = (recorded.calls[arm, name] for name in STAGES["r1"])
        assert second.module.student is first.module.student
        weight = "bert.embeddings.word_embeddings.weight"
        assert not torch.equal(first.before[weight], second.before[weight])


def test_the_judge_asks_the_validation_set(recorded):
    rows = recorded.rows["validation"]
    right = [LABELS[recorded.says("r1", row["text"])[0].argmax()] == row["label"] for row in rows]
    assert recorded.calls["r1", "soft-targets"].request.judge(recorded.model("r1")) == pytest.approx(np.mean(right))


def test_the_teacher_learns_the_training_set_from_its_labels(recorded):
    call = recorded.calls["teacher", "fine-tune"]
    expected = [(row["text"], row["label"]) for row in recorded.rows["train"]]
    assert [(text, label) for text, label, _ in recorded.given("teacher", "fine-tune")] == expected
    assert call.request.losses == (("hard_label", 1.0),)
    assert call.request.seed == derive(2, "teacher", "fine-tune")


def test_what_is_recorded_lies_split_by_split(recorded):
    """Offsets count the tokens of each text, special ones included."""
    from safetensors.numpy import load_file

    for split in ("train", "unlabeled"):
        stored = load_file(recorded.folder(f"hidden-teacher-{split}-r1") / "hidden-00000.safetensors")
        lengths = [len(row["text"].split()) + 2 for row in recorded.rows[split]]
        assert [b - a for a, b in pairwise(stored["offsets"].tolist())] == lengths
