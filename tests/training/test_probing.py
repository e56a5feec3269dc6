from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import text_items
from largest_tensor import Largest
from tiny_decoders import FAMILIES, VOCABULARY, config_of
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.errors import UserError
from edgedistill.models.sizes import shape_of
from edgedistill.models.static_model import StaticConfig, StaticForSequenceClassification
from edgedistill.tasks._language_items import NONE, columns
from edgedistill.training import probing
from edgedistill.training.probing import Subject
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import LiveTeacher, TrainingModule

TASK = registry.task("text-classification")
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
LENGTHS = (2, 16, 5)


def model(architecture: str = "bert", **more):
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, vocab_size=40, num_labels=3, **SIZES | {"pad_token_id": 0} | more)
    return AutoModelForSequenceClassification.from_config(config)


def subject(given) -> Subject:
    return Subject(given, "the teacher", "expected another model")


@pytest.fixture
def items() -> Items:
    ids = np.random.default_rng(0).integers(5, 40, sum(LENGTHS))
    return text_items(np.split(ids, np.cumsum(LENGTHS)[:-1]), [0, 1, 2])


LANGUAGE = registry.task("text-generation")


def texts() -> Items:
    """Of a language model; the first has no next token."""
    tokens = [np.random.default_rng(length).integers(3, VOCABULARY, length).tolist() for length in (1, 20, 7)]
    content = {"input_ids": tokens, "attention_mask": [[1] * len(own) for own in tokens], "next_bytes": tokens}
    content["next_token"] = [[*own[1:], NONE] for own in tokens]
    return Items.of(columns(0), content, range(3), "input_ids")


def decoder(config) -> Subject:
    torch.manual_seed(0)
    config.initializer_range = 0.2
    return subject(AutoModelForCausalLM.from_config(config))


def other(architecture: str, **more) -> Subject:
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 48, "num_attention_heads": 6, "pad_token_id": 0}
    depth = {} if architecture == "gpt_neo" else {"num_hidden_layers": 2, "intermediate_size": 96}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    return decoder(AutoConfig.for_model(architecture, **sizes | depth | ends | more))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sound_decoder_is_what_losses_and_signals_make_of_it(family):
    given = decoder(config_of(family))
    assert probing.check_answers(given, LANGUAGE, texts()) < 1e-4
    probing.check_head(given, LANGUAGE, texts())
    probing.check_reading(given, LANGUAGE, texts())


@pytest.mark.parametrize(
    ("architecture", "more"),
    [("granite", {"logits_scaling": 4.0}), ("cohere", {}), ("bert", {"is_decoder": True})],
)
def test_logits_that_are_not_those_of_the_head_are_refused(architecture, more):
    with pytest.raises(
        UserError,
        match=rf"the teacher \(a '{architecture}'\) has logits that are not those of its output layer .*\d% of the",
    ):
        probing.check_head(other(architecture, **more), LANGUAGE, texts())


def test_a_head_is_compared_only_where_something_is_predicted(items):
    probing.check_head(other("cohere"), LANGUAGE, texts().take([0]))
    probing.check_head(subject(model()), TASK, items)  # a task that is not over a vocabulary


def test_a_teacher_that_reads_in_order_only_is_not_projected():
    """Windows by the order of tokens, whatever their positions; and no mask at all."""
    local = other("gpt_neo", num_layers=2, num_heads=6, window_size=4, attention_types=[[["global", "local"], 1]])
    with pytest.raises(UserError, match=r"a 'gpt_neo'.* cannot read two continuations of a text at once.*\d% of the"):
        probing.check_reading(local, LANGUAGE, texts())
    with pytest.raises(UserError, match=r"a 'mamba'.* cannot read two continuations .*; expected another model \["):
        probing.check_reading(other("mamba"), LANGUAGE, texts())


def test_no_trial_holds_all_logits(monkeypatch):
    monkeypatch.setattr("edgedistill.tasks._language_model._ROWS", 4)
    given = decoder(config_of("llama", vocab_size=2000, hidden_size=12))
    with Largest() as largest:
        probing.check_answers(given, LANGUAGE, texts())
    assert largest.numbers <= 12 * 2000  # its head: 19 decisions would be more


class ReadsPadding(StaticForSequenceClassification):
    def forward(self, input_ids, attention_mask=None, output_hidden_states=False, **more):
        return super().forward(input_ids, torch.ones_like(input_ids), output_hidden_states)


class SharesMemory(StaticForSequenceClassification):
    def __init__(self, config):
        super().__init__(config)
        self.part = nn.Parameter(self.embeddings.weight.data[:2])


class SavesWrongly(StaticForSequenceClassification):
    def save_pretrained(self, folder, **more):
        with torch.no_grad():
            self.classifier.bias.add_(1)
        super().save_pretrained(folder, **more)
        with torch.no_grad():
            self.classifier.bias.sub_(1)


class AnswersNothing(StaticForSequenceClassification):
    def forward(self, *given, **more):
        out = super().forward(*given, **more)
        return type(out)(logits=out.logits * float("nan"))


def static(kind=StaticForSequenceClassification):
    torch.manual_seed(0)
    return kind(StaticConfig(vocab_size=40, hidden_size=8, num_labels=3))


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "mobilebert"])
def test_a_sound_model_answers_alone_as_in_a_batch(items, architecture):
    assert probing.check_answers(subject(model(architecture)), TASK, items) < 1e-4


def test_a_model_that_reads_padding_is_refused(items):
    with pytest.raises(UserError, match=r"the teacher \(a 'edgedistill-static'\) gives different answers in a"):
        probing.check_answers(subject(static(ReadsPadding)), TASK, items)
    assert probing.check_answers(subject(static()), TASK, items) < 1e-4


def test_a_model_without_a_padding_token_is_refused(items):
    given = model("gpt2", pad_token_id=None)
    with pytest.raises(
        UserError, match=r"cannot process several inputs in one padded batch; .*\[ValueError: Cannot handle"
    ):
        probing.check_answers(subject(given), TASK, items)
    given.config.pad_token_id = 0
    assert probing.check_answers(subject(given), TASK, items) < 1e-4


@pytest.mark.parametrize(("architecture", "limit"), [("bert", 9), ("roberta", 8)])
def test_the_longest_input_is_measured(items, architecture, limit):
    given = model(architecture, max_position_embeddings=9)  # a RoBERTa's first one is behind the padding token's
    with pytest.raises(UserError, match=rf"data.max_length: got 16, but the teacher .* accepts at most {limit} tokens"):
        probing.check_answers(subject(given), TASK, items)


def test_answers_that_are_no_numbers_are_refused(items):
    with pytest.raises(UserError, match="returns NaN or infinity before any training"):
        probing.check_answers(subject(static(AnswersNothing)), TASK, items)


@pytest.mark.parametrize(
    ("kind", "message"),
    [(SharesMemory, "cannot be saved as safetensors"), (SavesWrongly, "gives different answers after saving")],
)
def test_what_cannot_be_saved_is_refused(items, tmp_path, kind, message):
    with pytest.raises(UserError, match=message):
        probing.check_saving(subject(static(kind)), TASK, items, tmp_path / "model")
    probing.check_saving(subject(static()), TASK, items, tmp_path / "sound")


def module(student, kind: str, teacher=None, **more) -> TrainingModule:
    module = registry.loss(kind)
    given = shape_of(teacher.config) if teacher is not None else None
    term = module.build(module.spec(kind=kind, **more), shape_of(student.config), given)
    live = LiveTeacher(teacher, TASK, module.needs) if teacher is not None else None
    return TrainingModule(student, TASK, [term], module.needs, live)


def learn(items, student, kind: str, teacher=None, **more) -> None:
    given = module(student, kind, teacher, **more)
    probing.check_learning(subject(student), TASK, given, [1.0], TrainingData.plain([items], TASK).fetch(range(3)))


def test_what_a_loss_looks_at_must_be_there(items):
    learn(items, model(), "hard_label")
    learn(items, model(), "attention_mse", model())
    learn(items, model(), "hidden_mse", model())
    silent = model()
    silent.config.num_hidden_layers += 1  # a layer that shows no attention
    with pytest.raises(UserError, match=r"attention maps, which its teacher does not expose; use hidden_mse instead"):
        learn(items, model(), "attention_mse", silent)


def test_a_student_that_learns_nothing_is_refused(items):
    frozen = model().requires_grad_(False)
    with pytest.raises(UserError, match=r"cannot be trained with HardLabel"):
        learn(items, frozen, "hard_label")


def test_gradients_that_are_no_numbers_are_refused(items):
    given = model()
    given.classifier.bias.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(UserError, match="NaN or infinite gradients from HardLabel"):
        learn(items, given, "hard_label")
