from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_close, file_request
from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.target import FileRequest
from edgedistill.device.files import Component
from edgedistill.errors import EdgedistillError
from edgedistill.isolation.emulation.installing import compiling
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.models.image_model import PixelsConfig
from edgedistill.runtimes._executorch import plan
from edgedistill.runtimes._executorch.native import EXTENSION

pytest.importorskip("executorch", reason="needs the extra 'executorch'")
pytest.importorskip("torchao", reason="needs the extra 'executorch'")

EXPORTER = registry.target("executorch")
RUNTIME = registry.runtime("executorch")


LENGTHS = (*range(1, 33), *range(1, 33))


NAMES = PortNames(("input_ids", "attention_mask"), ("logits",))


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
    model = AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(3)  # fresh weights give logits so small that nothing shows
    return model


def calibration(lengths):
    """A text of each length."""
    rows = [np.random.default_rng(number).integers(5, 500, (1, length)) for number, length in enumerate(lengths)]
    return [{"input_ids": row, "attention_mask": np.ones_like(row)} for row in rows]


def requested(model, precision: str, lengths=LENGTHS) -> FileRequest:
    inputs = calibration(lengths) if EXPORTER.precisions[precision].calibrated else ()
    return file_request(precision, lambda: model, samples, 32, calibration=inputs)


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("executorch")
    return {
        precision: (EXPORTER.make(requested(model, precision), folder / how.file), folder / how.file)
        for precision, how in EXPORTER.precisions.items()
    }


def logits(model, inputs) -> np.ndarray:
    with torch.no_grad():
        return model(**{name: torch.as_tensor(array) for name, array in inputs.items()}).logits.numpy()


def answer(file, inputs) -> np.ndarray:
    graph = RUNTIME.open(file, 1, PortNames(tuple(inputs), ("logits",)))
    return graph.run({name: tensor.numpy() for name, tensor in inputs.items()})["logits"]


def shown(model, lengths=LENGTHS) -> tuple[float, float]:
    """The range of logits that the calibration has shown; fixed ranges hold nothing beyond, but always zero."""
    seen = np.concatenate([logits(model, batch) for batch in calibration(lengths)])
    return min(0.0, seen.min()), max(0.0, seen.max())


def test_fp32_agrees_with_torch_at_every_shape(made):
    checks = made["fp32"][0].checks
    assert [(check.batch, check.length) for check in checks] == [(1, 1), (1, 16), (2, 32), (8, 32)]
    assert max(check.max_abs_diff for check in checks) < 1e-5


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("int8-dynamic", 0.05)])
def test_the_file_gives_what_the_task_asks_of_the_model(model, tmp_path, precision, bound):
    request = file_request(
        precision,
        lambda: model,
        samples,
        32,
        forward=lambda given, inputs: {"shares": given(**inputs).logits.softmax(-1)},
    )
    EXPORTER.make(replace(request, outputs=("shares",)), tmp_path / "model.pte")
    graph = RUNTIME.open(tmp_path / "model.pte", 1, PortNames(("input_ids", "attention_mask"), ("shares",)))
    given = samples(2, 9)
    found = graph.run({name: tensor.numpy() for name, tensor in given.items()})["shares"]
    expected = torch.from_numpy(logits(model, given)).softmax(-1).numpy()
    assert_close(found, expected, atol=bound)
    assert "forward" not in vars(model)


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-static"])
def test_int8_is_smaller_with_its_tables_and_close(made, model, precision):
    (told, file), plain = made[precision], made["fp32"][1]
    tables = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding))
    assert plain.stat().st_size - file.stat().st_size > 2.5 * tables
    assert told.facts["embedding"] == "int8"
    limits = shown(model) if precision == "int8-static" else (None, None)
    for batch, length in ((3, 21), (1, 1), (64, 32)):
        inputs = samples(batch, length)
        expected = logits(model, inputs)
        off = np.abs(answer(file, inputs) - np.clip(expected, *limits)).max()
        assert 1e-4 < off < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("precision", "weights", "activations"), [("fp32", 0, 0), ("int8-dynamic", 14, 0), ("int8-static", 14, 14)]
)
def test_facts_say_which_products_are_int8(made, precision, weights, activations):
    """Six products with weights a layer, pooler and classifier; two without a layer, between activations."""
    facts = made[precision][0].facts
    assert (facts["products"], facts["int8_weights"], facts["int8_activations"]) == (18, weights, activations)


def test_static_ranges_are_those_of_the_given_inputs(made, model, tmp_path):
    EXPORTER.make(requested(model, "int8-static", [1]), tmp_path / "narrow.pte")
    low, high = shown(model, [1])
    wide, narrow = (answer(file, samples(8, 32)) for file in (made["int8-static"][1], tmp_path / "narrow.pte"))
    assert low - 0.01 < narrow.min() < narrow.max() < high + 0.01
    assert wide.min() < low - 0.03


def test_making_int8_leaves_the_model_as_it_was(made, model):
    assert isinstance(model.get_input_embeddings(), torch.nn.Embedding)


def test_the_padding_of_a_batch_changes_nothing(made):
    session = RUNTIME.open(made["fp32"][1], 1, NAMES)
    ids = samples(1, 9)["input_ids"].numpy()
    alone = session.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})["logits"]
    padded = {"input_ids": np.pad(ids, ((0, 0), (0, 5))), "attention_mask": np.pad(np.ones_like(ids), ((0, 0), (0, 5)))}
    assert_close(session.run(padded)["logits"], alone, atol=1e-5)


def test_facts_say_how_much_is_delegated(made):
    facts, file = made["fp32"][0].facts, made["fp32"][1]
    inside, outside = facts["operators_delegated"], facts["operators_elsewhere"]
    assert facts["delegated_share"] == inside / (inside + outside)
    assert inside >= 14  # the products: six a layer, pooler and classifier
    assert RUNTIME.open(file, 1, NAMES).backend()["operators_elsewhere"] == outside


def test_memory_and_load_time_are_without_torch(made, tmp_path):
    """Torch and the exporter, which the binding imports, take some 300 MB and seconds; the runtime and a small file
    take little of either."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("peak memory is read from /proc, which is not here")
    ids = np.ones(16, np.int64)
    columns = dict.fromkeys(NAMES.inputs, Column("input", "sequence"))
    Items.of(columns, {name: [ids] for name in columns}, [0]).save(tmp_path / "inputs")
    files = {"model": Component({None: made["fp32"][1]}, NAMES)}
    model = DeviceModel(files, "executorch", "text-classification", timeout_seconds=500)
    with model.process(tmp_path / "log") as child:
        child.ask("inputs", file=str(tmp_path / "inputs"), batch=1, length=None)
        found = model.load(child, threads=1, warm_up=2)
    assert found.empty_mb > 150
    assert 0 < found.peak_rss_mb < 60


def test_the_plan_is_read_as_by_executorchs_own_reader(made):
    """Which needs torch, and so isn't where the file runs on Arm."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    for _, file in made.values():
        (expected,) = deserialize_pte_binary(file.read_bytes()).program.execution_plan
        calls = [instruction.instr_args for chain in expected.chains for instruction in chain.instructions]
        kernels = [expected.operators[call.op_index].name for call in calls if hasattr(call, "op_index")]
        parts = [expected.delegates[call.delegate_index].id for call in calls if hasattr(call, "delegate_index")]
        assert plan.read(file) == plan.Plan(tuple(kernels), tuple(parts))


NATIVE = """
import sys
from pathlib import Path
import numpy as np
from edgedistill.errors import EdgedistillError
from edgedistill.contracts.driver import PortNames
from edgedistill.runtimes._executorch.native import NativeGraph
names = PortNames(("input_ids", "attention_mask"), ("logits",))
inputs = dict(np.load(sys.argv[1]))
for name in sys.argv[3:]:
    session = NativeGraph(Path(name), 1, names)
    first = session.run(inputs)["logits"]
    session.run({name: each[:1, :2] for name, each in inputs.items()})
    np.save(Path(sys.argv[2]) / Path(name).stem, first)
    assert session.backend()["threads"] == 1
    try:
        session.run({name: np.repeat(each, 65, 0) for name, each in inputs.items()})
        raise SystemExit("no error")
    except EdgedistillError as error:
        assert "is larger than the file's maximum" in str(error)
assert "torch" not in sys.modules
try:
    NativeGraph(Path(sys.argv[1]), 1, names)
    raise SystemExit("no error")
except EdgedistillError as error:
    assert "ExecuTorch: " in str(error), error
"""


def test_the_native_runtime_answers_as_the_binding_does_without_torch(made, tmp_path):
    """Compiled for this machine; in a process of its own, since both in one collide."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    package = find_spec("executorch").submodule_search_locations[0]
    (tmp_path / "executorch").symlink_to(package)
    subprocess.run(compiling(EXTENSION, compiler, tmp_path), check=True)
    inputs = {name: tensor.numpy() for name, tensor in samples(3, 21).items()}
    np.savez(tmp_path / "inputs.npz", **inputs)
    files = [str(file) for _, file in made.values()]
    command = [sys.executable, "-c", NATIVE, str(tmp_path / "inputs.npz"), str(tmp_path), *files]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert not done.returncode, done.stderr
    for _, file in made.values():
        found = np.load(tmp_path / f"{file.stem}.npy")
        np.testing.assert_allclose(found, answer(file, samples(3, 21)), atol=1e-5)


def test_a_file_that_is_not_delegated_is_an_error(tmp_path):
    from executorch.exir import to_edge_transform_and_lower

    ids = torch.ones(1, 8, dtype=torch.long)
    layers = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 2)).eval()
    program = to_edge_transform_and_lower(torch.export.export(layers, (ids,))).to_executorch()
    file = tmp_path / "portable.pte"
    file.write_bytes(program.buffer)
    session = RUNTIME.open(file, 1, PortNames(("ids",), ("logits",)))
    with pytest.raises(EdgedistillError, match="delegates nothing and leaves aten::.*mm.* to portable kernels"):
        session.backend()


def test_an_input_beyond_the_reserved_room_is_a_clear_error(made):
    session = RUNTIME.open(made["fp32"][1], 1, NAMES)
    inputs = {name: tensor.numpy() for name, tensor in samples(65, 4).items()}
    with pytest.raises(EdgedistillError, match=r"an input of \(65, 4\) is larger than the file's maximum, \(64, 32\)"):
        session.run(inputs)


def test_a_record_of_other_inputs_is_refused(made):
    with pytest.raises(EdgedistillError, match="has 2 unnamed inputs, but its record lists 'input_ids'"):
        RUNTIME.open(made["fp32"][1], 1, PortNames(("input_ids",), ("logits",)))
    assert made["fp32"][0].inputs == NAMES.inputs


@pytest.mark.parametrize("precision", sorted(EXPORTER.precisions))
def test_images_of_whole_numbers_have_one_size_and_no_tables(tmp_path, precision):
    torch.manual_seed(0)
    model = AutoModelForImageClassification.from_config(PixelsConfig(pixels=64, num_labels=10)).eval()

    def pixels(batch: int, length: int):
        return {"pixel_values": samples(batch, length)["input_ids"] % 17}

    seen = [{name: tensor.numpy() for name, tensor in pixels(8, 64).items()}] if "static" in precision else ()
    request = file_request(precision, lambda: model, pixels, 64, length=64, calibration=seen)
    told = EXPORTER.make(request, tmp_path / "model.pte")
    assert "embedding" not in told.facts
    expected = logits(model, pixels(2, 64))
    limit = 1e-5 if precision == "fp32" else 0.1 * np.abs(expected).max()
    assert np.abs(answer(tmp_path / "model.pte", pixels(2, 64)) - expected).max() < limit
