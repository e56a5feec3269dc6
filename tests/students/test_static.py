"""The layerless student: its vectors, their weights, and the model itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import text_items
from transformers import AutoModelForSequenceClassification

from edgedistill.contracts.student import StudentRequest
from edgedistill.errors import UserError
from edgedistill.models.loading import load_model, load_tokenizer, save_model
from edgedistill.models.static_model import StaticConfig, StaticForSequenceClassification
from edgedistill.students import static


def build(teacher_folder, kept: list[int] | None = None, **settings: object):
    torch.manual_seed(0)
    tokenizer = load_tokenizer(teacher_folder)
    kept = kept or list(range(len(tokenizer)))
    ids = np.tile(np.arange(len(kept)), 2)
    request = StudentRequest(
        spec=static.StaticSpec.model_validate({"init": "static", "dimensions": 8, **settings}),
        source=teacher_folder,
        auto_class=AutoModelForSequenceClassification,
        config_overrides={"num_labels": 3},
        tokenizer=tokenizer,
        probe=[],
        train=text_items([ids]),
        kept_tokens=kept,
    )
    return static.build(request).eval()


def test_the_vectors_are_the_sources_and_of_about_unit_size(teacher_folder):
    student = build(teacher_folder)
    vectors = student.embeddings.weight.detach().numpy()
    assert np.linalg.norm(vectors, axis=1).mean() == pytest.approx(1, rel=1e-4)
    again = build(teacher_folder).embeddings.weight.detach().numpy()
    np.testing.assert_allclose(vectors, again, atol=1e-5)
    assert not np.allclose(vectors, build(teacher_folder, vectors="random").embeddings.weight.detach().numpy())


def test_an_added_byte_begins_as_the_mean_of_all_tokens(teacher_folder):
    student = build(teacher_folder, kept=[*range(40), -1, *range(40, 60)])
    vectors = student.embeddings.weight.detach().numpy()
    np.testing.assert_allclose(vectors[40], 0, atol=1e-5)  # principal components are centred
    assert (np.linalg.norm(np.delete(vectors, 40, axis=0), axis=1) > 0.01).all()


def test_padding_and_order_change_nothing(teacher_folder):
    student = build(teacher_folder, head_size=16)
    with torch.no_grad():
        alone = student(torch.tensor([[5, 6, 7]])).logits
        padded = student(torch.tensor([[7, 5, 6, 0]]), torch.tensor([[1, 1, 1, 0]])).logits
    torch.testing.assert_close(alone, padded)


def test_it_is_saved_and_loaded_by_the_auto_class(teacher_folder, tmp_path):
    student = build(teacher_folder, head_size=4)
    save_model(student, tmp_path)
    loaded = load_model(AutoModelForSequenceClassification, tmp_path, None)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids).logits, student(ids).logits, rtol=0, atol=1e-6)


def test_more_dimensions_than_the_source_are_refused(teacher_folder):
    with pytest.raises(UserError, match="student.dimensions: got 64, expected at most 32"):
        build(teacher_folder, dimensions=64)


def test_principal_components_keep_the_largest_variance():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(200, 5)) * np.array([1, 9, 1, 4, 1])
    reduced = static.principal_components(points, 2)
    variance = reduced.var(axis=0)
    assert variance[0] > variance[1] > 10
    assert variance.sum() / points.var(axis=0).sum() > 0.9


def test_frequent_tokens_weigh_less():
    shares = static.token_shares(np.array([0, 0, 0, 1]), 3)
    assert shares.tolist() == [0.75, 0.25, 0]
    weights = static.sif_weights(shares, 0.25)
    assert weights.tolist() == [0.25, 0.5, 1]


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = StaticForSequenceClassification(StaticConfig(vocab_size=50, hidden_size=32, num_labels=3))
    ids = torch.tensor([[5, 6, 7]])
    assert not torch.equal(model.train()(ids).logits, model(ids).logits)
    assert torch.equal(model.eval()(ids).logits, model(ids).logits)
