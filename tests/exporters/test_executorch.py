from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill import plugins
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.interfaces import FileRequest

pytest.importorskip("executorch", reason="needs the extra 'executorch'")
pytest.importorskip("torchao", reason="needs the extra 'executorch'")

EXPORTER = plugins.find("exporters", "executorch")
RUNTIME = plugins.find("runtimes", "executorch")


def samples(batch: int, length: int):
    ids = torch.randint(5, 500, (batch, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "bert",
        vocab_size=500,
        num_hidden_layers=2,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=3,
        max_position_embeddings=80,
    )
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("executorch")
    return {
        precision: (
            EXPORTER.make(FileRequest(precision, lambda: model, samples, 32), folder / how.file),
            folder / how.file,
        )
        for precision, how in EXPORTER.PRECISIONS.items()
    }


def test_fp32_agrees_with_torch_at_every_shape(made):
    checks = made["fp32"][0].checks
    assert [(check.batch, check.length) for check in checks] == [(1, 1), (1, 16), (2, 32), (8, 32)]
    assert max(check.max_abs_diff for check in checks) < 1e-5


def test_int8_is_smaller_with_its_tables_and_close(made, model):
    (facts, file), plain = (made["int8-dynamic"][0].facts, made["int8-dynamic"][1]), made["fp32"][1]
    tables = sum(each.weight.numel() for each in model.modules() if isinstance(each, torch.nn.Embedding))
    assert plain.stat().st_size - file.stat().st_size > 2.5 * tables
    assert facts["embedding"] == "int8"
    inputs = samples(3, 21)
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    (got,) = RUNTIME.open(file, 1).run({name: each.numpy() for name, each in inputs.items()})
    assert 0 < np.abs(got - expected).max() < 0.02


def test_making_int8_leaves_the_model_as_it_was(made, model):
    assert isinstance(model.get_input_embeddings(), torch.nn.Embedding)


def test_the_padding_of_a_batch_changes_nothing(made):
    session = RUNTIME.open(made["fp32"][1], 1)
    ids = samples(1, 9)["input_ids"].numpy()
    (alone,) = session.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    padded = {"input_ids": np.pad(ids, ((0, 0), (0, 5))), "attention_mask": np.pad(np.ones_like(ids), ((0, 0), (0, 5)))}
    np.testing.assert_allclose(session.run(padded)[0], alone, atol=1e-5)


def test_facts_say_how_much_is_delegated(made):
    facts, file = made["fp32"][0].facts, made["fp32"][1]
    inside, outside = facts["operators_delegated"], facts["operators_elsewhere"]
    assert facts["delegated_share"] == inside / (inside + outside)
    assert inside >= 14  # the products: six a layer, pooler and classifier
    assert RUNTIME.open(file, 1).backend()["operators_elsewhere"] == outside


def test_a_file_that_is_not_delegated_is_an_error(tmp_path):
    from executorch.exir import to_edge_transform_and_lower

    ids = torch.ones(1, 8, dtype=torch.long)
    layers = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 2)).eval()
    program = to_edge_transform_and_lower(torch.export.export(layers, (ids,))).to_executorch()
    file = tmp_path / "portable.pte"
    file.write_bytes(program.buffer)
    session = RUNTIME.open(file, 1)
    with pytest.raises(EdgedistillError, match="delegates nothing and leaves aten::.*mm.* to portable kernels"):
        session.backend()


def test_an_input_beyond_the_reserved_room_is_a_clear_error(made):
    session = RUNTIME.open(made["fp32"][1], 1)
    inputs = {name: each.numpy() for name, each in samples(65, 4).items()}
    with pytest.raises(
        EdgedistillError, match=r"an input of \(65, 4\) is larger than the file has room for, \(64, 32\)"
    ):
        session.run(inputs)


def test_inputs_of_unknown_order_are_refused(model, tmp_path):
    def odd(batch: int, length: int):
        return {"attention_mask": samples(batch, length)["attention_mask"]}

    with pytest.raises(RefusedError, match="target executorch: the model takes attention_mask, the runtime knows"):
        EXPORTER.make(FileRequest("fp32", lambda: model, odd, 32), tmp_path / "model.pte")
