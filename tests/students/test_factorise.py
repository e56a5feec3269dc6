"""Factorised embeddings: how close they start to the source's, and that everything else is the source."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import quickstart_rows, text_items
from transformers import AutoModelForSequenceClassification, ElectraForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.student import StudentRequest
from edgedistill.errors import UserError
from edgedistill.models.loading import load_model, load_tokenizer, outline, parameter_count
from edgedistill.students import factorise
from edgedistill.students.factorise import Linear, embedded, least_squares, principal_directions, spread, usage
from edgedistill.training.training_data import TrainingData

TEXTS = [row["text"] for row in quickstart_rows("train")]
SEEN, HELD_OUT = TEXTS[:200], TEXTS[200:300]


def items_of(tokenizer, texts) -> Items:
    return text_items(tokenizer(texts, truncation=True, max_length=32)["input_ids"])


def batches_of(items):
    return TrainingData.plain([items], registry.task("text-classification"))


@pytest.fixture
def factorised(teacher_folder):
    """Builds a student of the trained tiny BERT, which is 32 wide, from real sentences."""

    def made(embedding_size: int, **more: object):
        tokenizer = load_tokenizer(teacher_folder)
        spec = {"init": "factorise", "embedding_size": embedding_size, **more}
        seen = items_of(tokenizer, SEEN)
        request = StudentRequest(
            spec=factorise.FactoriseSpec.model_validate(spec),
            source=teacher_folder,
            auto_class=AutoModelForSequenceClassification,
            config_overrides={},
            tokenizer=tokenizer,
            probe=[batches_of(seen).fetch(range(i, i + 50)) for i in range(0, len(SEEN), 50)],
            train=seen,
        )
        source = load_model(AutoModelForSequenceClassification, teacher_folder, None)
        return SimpleNamespace(
            student=factorise.build(request),
            source=source,
            held_out=batches_of(items_of(tokenizer, HELD_OUT)).fetch(range(len(HELD_OUT))),
            train=seen,
        )

    return made


def error(student, source, batch) -> float:
    """Share of the variance of the source's embeddings that the student's don't explain, on real tokens."""
    real = batch.mask_BT.bool()
    with torch.no_grad():
        own, given = embedded(student, batch)[real], embedded(source, batch)[real]
    return (((own - given) ** 2).sum() / ((given - given.mean(0)) ** 2).sum()).item()


def flatten(model, dimensions: int) -> None:
    """Leave the embeddings only so many dimensions, in which none has a mean."""
    embeddings = model.base_model.embeddings
    width = embeddings.word_embeddings.embedding_dim
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(width, dimensions, generator=generator)
    directions = torch.linalg.qr(directions - directions.mean(0))[0]
    with torch.no_grad():
        for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
            table = getattr(embeddings, name).weight
            table.copy_(table @ directions @ directions.T)


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


def test_wider_embeddings_are_closer_to_the_sources_and_far_closer_than_random_ones(factorised):
    errors = []
    for size in (8, 16, 24, 31):
        made = factorised(size)
        errors.append(error(made.student, made.source, made.held_out))
        torch.manual_seed(0)
        random = AutoModelForSequenceClassification.from_config(made.student.config).eval()
        assert errors[-1] < error(random, made.source, made.held_out) / 2
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 10


def test_before_anything_is_solved_vectors_of_few_dimensions_are_restored_exactly(factorised):
    made = factorised(12)
    flatten(made.source, 11)
    fresh = AutoModelForSequenceClassification.from_config(made.student.config).eval()
    with torch.no_grad():
        factorise.copy_embeddings(made.source, fresh, made.train)
    assert error(fresh, made.source, made.held_out) < 1e-9


def test_solving_the_projection_on_real_text_brings_it_closer(factorised):
    made = factorised(12)
    unsolved = AutoModelForSequenceClassification.from_config(made.student.config).eval()
    with torch.no_grad():
        factorise.copy_embeddings(made.source, unsolved, made.train)
    assert error(made.student, made.source, made.held_out) < error(unsolved, made.source, made.held_out)


def test_layers_are_the_sources_and_the_head_answers_as_its_does(factorised):
    made = factorised(31)
    own, theirs = made.student.electra.encoder.state_dict(), made.source.bert.encoder.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    dense = made.student.classifier.dense
    assert torch.equal(dense.weight, made.source.bert.pooler.dense.weight)
    own, given = logits(made.student, made.held_out.inputs), logits(made.source, made.held_out.inputs)
    solved = ((own - given) ** 2).mean() / given.var()
    with torch.no_grad():
        made.student.classifier.out_proj.load_state_dict(made.source.classifier.state_dict())
    copied = ((logits(made.student, made.held_out.inputs) - given) ** 2).mean() / given.var()
    assert solved < 0.02 < copied


def test_the_listed_number_of_layers_is_kept_evenly(factorised):
    made = factorised(8, layers=1)
    assert made.student.config.num_hidden_layers == 1
    own, theirs = made.student.electra.encoder.layer[0], made.source.bert.encoder.layer[1]
    assert torch.equal(own.output.dense.weight, theirs.output.dense.weight)


@pytest.mark.parametrize(("size", "layers"), [(8, None), (20, 1)])
def test_the_plan_knows_the_parameters_exactly(factorised, size, layers):
    made = factorised(size, layers=layers)
    spec = factorise.FactoriseSpec(init="factorise", embedding_size=size, layers=layers)
    planned = factorise.planned(spec, made.source.config, AutoModelForSequenceClassification)
    assert planned.at_most is None
    outlined = outline(AutoModelForSequenceClassification, planned.config)
    assert parameter_count(outlined) == parameter_count(made.student)


def test_it_is_a_stock_model_that_any_client_loads(factorised, tmp_path):
    made = factorised(16)
    made.student.save_pretrained(tmp_path)
    again, info = ElectraForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert torch.equal(logits(again.eval(), made.held_out.inputs), logits(made.student, made.held_out.inputs))
    assert made.student.config.id2label == made.source.config.id2label


@pytest.mark.parametrize("size", [24, 32])  # with a projection, and without
def test_factorised_embeddings_can_be_factorised_again_and_keep_their_head(build, make_source, size):
    folder = make_source("electra", embedding_size=size)
    source = load_model(AutoModelForSequenceClassification, folder, None)
    flatten(source, 9)
    source.save_pretrained(folder)
    made = build(source=folder, init="factorise", embedding_size=10)
    assert made.student.config.embedding_size == 10
    torch.testing.assert_close(logits(made.student, made.inputs), logits(made.source, made.inputs), rtol=0, atol=1e-6)
    with pytest.raises(UserError, match=f"student.embedding_size: got {size}, expected less than the source's {size}"):
        build(source=folder, init="factorise", embedding_size=size)


def test_what_cannot_be_factorised_is_refused(build):
    with pytest.raises(UserError, match="init: factorise supports bert and electra, but 'from' is a 'roberta'"):
        build("roberta", init="factorise", embedding_size=8)
    with pytest.raises(UserError, match="student.embedding_size: got 32, expected less than the source's 32"):
        build(init="factorise", embedding_size=32)
    with pytest.raises(UserError, match="layers: got 5, expected at most the source's 4 layers"):
        build(init="factorise", embedding_size=8, layers=5)


def test_usage_counts_tokens_positions_and_types():
    sequence = Column("input", "sequence")
    content = {"input_ids": [[1, 1, 2], [1]], "token_type_ids": [[0, 0, 1], [0]]}
    train = Items.of({"input_ids": sequence, "token_type_ids": sequence}, content, [0, 1])
    tokens, positions, types = usage(train, [5, 4, 2])
    assert tokens.tolist() == pytest.approx([0.01, 0.95 * 0.75 + 0.01, 0.95 * 0.25 + 0.01, 0.01, 0.01])
    assert positions.tolist() == [0.5, 0.25, 0.25, 0]
    assert types.tolist() == [0.75, 0.25]


def test_directions_follow_how_often_rows_are_used():
    rows = np.eye(6)
    often, rarely = np.array([0, 0, 0.5, 0.5, 0, 0]), np.full(6, 1 / 6)
    directions = principal_directions([rows], [often], 2)
    np.testing.assert_allclose((directions @ directions.T).diagonal(), [0, 0, 1, 1, 0, 0], atol=1e-12)
    assert not np.allclose(principal_directions([rows], [rarely], 2), directions)
    # The sum of a row of each table is what counts: a table that is always the same adds its row to all.
    shifted = principal_directions([rows, 9 * rows[5:]], [often, np.ones(1)], 1)[:, 0]
    assert abs(shifted[5]) > 0.95


@pytest.mark.parametrize("size", [2, 7, 32])
def test_the_spread_is_a_turn_without_a_mean(size):
    columns = spread(size)
    np.testing.assert_allclose(columns.T @ columns, np.eye(size - 1), atol=1e-12)
    np.testing.assert_allclose(columns.sum(axis=0), 0, atol=1e-12)


def test_least_squares_finds_the_map_and_holds_to_the_start_where_nothing_is_known():
    random = np.random.default_rng(0)
    truth = Linear(random.normal(size=(3, 4)), random.normal(size=3))
    start = Linear(np.zeros((3, 4)), np.ones(3))
    inputs = random.normal(size=(100_000, 4))
    found = least_squares(inputs, inputs @ truth.weight.T + truth.bias, start)
    np.testing.assert_allclose(found.weight, truth.weight, atol=1e-3)
    np.testing.assert_allclose(found.bias, truth.bias, atol=1e-3)
    flat = inputs * np.array([1, 1, 1, 0])
    found = least_squares(flat, flat @ truth.weight.T + truth.bias, start)
    np.testing.assert_allclose(found.weight[:, 3], 0, atol=1e-12)
