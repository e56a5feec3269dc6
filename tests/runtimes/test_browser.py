from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers import assert_close, stand_in
from onnx_graphs import encoder

from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import MeasuresItself, PortNames
from edgedistill.errors import EdgedistillError
from edgedistill.isolation import environments
from edgedistill.runtimes import browser, onnxruntime
from edgedistill.runtimes._browser import messages, transformers_js
from edgedistill.system.machine import describe

absent = environments.missing_beside(browser.PACKAGES)
needs_browser = pytest.mark.skipif(bool(absent), reason="; ".join(absent))
FP32, INT8 = "model.onnx", "model_quantized.onnx"
HOST: dict[str, Any] = describe()
SATURATES = platform.machine() == "x86_64" and not {"avx512_vnni", "avx_vnni"} & set(HOST["isa"])
"""Whether ONNX Runtime's sums of 8-bit products overflow here (they have 16 bits where a processor has no dot product
of 8-bit numbers), so that the page, which has room for them, is nearer to the file in fp32 than to this one here."""
SEEN = {"isolated": True, "cores": 4, "threads": 4, "workers": 3}


@pytest.fixture(scope="module")
def files(finished_run):
    return finished_run.folder / "models" / "r1" / "onnx"


@pytest.fixture
def temporary():
    """A folder for temporary files whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ed-") as folder:
        yield Path(folder)


def inputs(session, batch, length):
    random = np.random.default_rng(batch * 100 + length)
    ids = random.integers(5, 100, (batch, length), dtype=np.int64)
    every = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    return {name: every[name] for name in session.inputs}


def running(pid):
    """Processes of this Chromium that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(session) == pid and state != "Z":
            found.append(stat)
    return found


def wait_until(condition):
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.1)
    return False


@needs_browser
@pytest.mark.parametrize("name", [FP32, INT8])
def test_the_page_answers_as_onnxruntime_does(files, name):
    exact = FP32 if SATURATES else name
    native, session = onnxruntime.open(files / exact, 1, PortNames()), browser.open(files / name, 1, PortNames())
    try:
        for batch, length in ((1, 1), (1, 16), (3, 9)):
            given = inputs(native, batch, length)
            found, expected = (graph.run(given)["logits"] for graph in (session, native))
            assert_close(found, expected, atol=1e-4 if name == FP32 else 0.1)
        backend: dict[str, Any] = session.backend()
        assert (backend["provider"], backend["simd"], backend["threads"]) == ("wasm", True, 1)
        assert backend["download_bytes"]["model"] == (files / name).stat().st_size
        assert backend["download_bytes"]["runtime"] > 10e6
        peak, empty = session.memory_mb()
        assert peak > 5
        assert empty > 5
    finally:
        session.close()


@pytest.mark.parametrize("location", ["model.onnx_data", "model.onnx.data", "below/weights"])
def test_the_page_gets_the_weights_that_the_file_names(tmp_path, monkeypatch, location):
    (tmp_path / "below").mkdir()
    file = tmp_path / "model.onnx"
    onnx.save(encoder(), file, save_as_external_data=True, location=location)
    asked: dict[str, Any] = {}

    def page(mounts):
        def ask(command, **given):
            asked.update(given, mounts=mounts)
            return {"inputs": [], "outputs": [], "load_ms": 1.0}, {}

        return stand_in(ask=ask)

    monkeypatch.setattr(browser, "Page", page)
    monkeypatch.setattr(browser, "node_modules", lambda: tmp_path / "node_modules")
    browser.open(file, 1, PortNames())
    assert asked["data"] == [f"model/{location}"]
    assert asked["mounts"]["model/model.onnx"] == file
    assert asked["mounts"][f"model/{location}"] == tmp_path / location


@needs_browser
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_two_threads_are_two(files):
    session = browser.open(files / FP32, 2, PortNames())
    try:
        backend: dict[str, Any] = session.backend()
        assert (backend["threads"], backend["cross_origin_isolated"]) == (2, True)
    finally:
        session.close()


@pytest.mark.parametrize(
    ("asked", "seen", "words"),
    [
        (4, {**SEEN, "isolated": False}, "the page is not isolated, so it has one"),
        (8, {**SEEN, "threads": 8, "workers": 7}, "the browser sees 4 cores"),
        (4, {**SEEN, "threads": 1, "workers": 0}, "onnxruntime-web runs 1"),
        (4, {**SEEN, "workers": 1}, "onnxruntime-web runs 2"),
    ],
)
def test_fewer_threads_than_asked_for_are_refused(asked, seen, words):
    browser.check_threads(4, SEEN)
    with pytest.raises(EdgedistillError, match=words):
        browser.check_threads(asked, seen)


@needs_browser
def test_the_time_reported_is_the_pages_own(files):
    session = browser.open(files / FP32, 1, PortNames())
    try:
        assert isinstance(session, MeasuresItself)
        before = session.spent_ms
        session.run(inputs(session, 1, 8))
        assert session.spent_ms > before
    finally:
        session.close()


@needs_browser
def test_chromium_and_its_profile_end_with_the_session(files, temporary, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(temporary))
    session = browser.open(files / FP32, 1, PortNames())
    pid = session._page._chromium.pid
    assert running(pid)
    assert list(temporary.iterdir())
    session.close()
    assert wait_until(lambda: not running(pid))
    assert not list(temporary.iterdir())


@needs_browser
def test_they_end_when_the_process_that_measures_is_killed(files, temporary):
    program = (
        "import sys, time, pathlib; from edgedistill.contracts.driver import PortNames;"
        "from edgedistill.runtimes import browser;"
        "session = browser.open(pathlib.Path(sys.argv[1]), 1, PortNames());"
        "print(session._page._chromium.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(files / FP32)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        pid = int(process.stdout.readline())
        assert running(pid)
        process.kill()
    assert wait_until(lambda: not running(pid) and not list(temporary.iterdir()))


@needs_browser
def test_a_page_that_crashes_is_explained(files):
    session = browser.open(files / FP32, 1, PortNames())
    try:
        for renderer in session._page._chromium.page_memory_mb("VmRSS"):
            os.kill(renderer, 9)
        with pytest.raises(EdgedistillError, match="the page in Chromium crashed during 'run'"):
            session.run(inputs(session, 1, 8))
    finally:
        session.close()


@needs_browser
def test_a_corrupt_file_is_explained(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(EdgedistillError, match="broken.onnx' is not a readable ONNX file"):
        browser.open(tmp_path / "broken.onnx", 1, PortNames())


@needs_browser
def test_a_file_that_the_page_does_not_open_is_explained(tmp_path):
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "graph", ports[:1], ports[1:])
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "unknown.onnx")
    with pytest.raises(EdgedistillError, match="in the page, 'load' failed: .*NoSuchOperator"):
        browser.open(tmp_path / "unknown.onnx", 1, PortNames())


@needs_browser
def test_transformers_js_loads_the_published_folder(files, finished_run):
    from edgedistill.models.loading import load_config

    data = finished_run.data("validation")
    # What was cut here is not what the library reads.
    whole = np.flatnonzero(data.items("validation").lengths < data.max_length)[:12]
    texts = [data.rows("validation")[int(item)]["text"] for item in whole]
    config = load_config(files.parent, None)
    labels = [config.id2label[number] for number in range(len(config.id2label))]
    for name, step in ((FP32, "fp32"), (INT8, "fp32" if SATURATES else "int8-dynamic")):
        rows = finished_run.artifact(f"verify-r1-onnx-{step}-onnxruntime") / "validation.safetensors"
        logits = np.asarray(Answers.open(rows).values["logits"][whole], np.float32)
        told: dict[str, Any] = browser.client_facts(files / name, texts, labels, logits)
        found = told["transformers.js"]
        assert found["agreement"] == 1.0
        assert found["max_score_diff"] < (1e-5 if name == FP32 else 1e-2)
        assert found["download_bytes"]["model"] == (files / name).stat().st_size
        assert found["download_bytes"]["tokenizer"] > 1000


def test_a_file_elsewhere_is_not_one_that_transformers_js_finds(tmp_path):
    (tmp_path / "model.onnx").touch()
    assert transformers_js.published_folder(tmp_path / "model.onnx") is None
    facts = browser.client_facts(tmp_path / "model.onnx", ["a"], ["x"], np.zeros((1, 1)))
    assert str(facts["transformers.js"]).startswith("not tried")


def test_agreement_is_that_of_decisions_and_scores():
    found = transformers_js.agreement(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([[0.0, 0.0], [np.log(9), 0.0]]))
    assert found == {"agreement": 0.5, "max_score_diff": pytest.approx(0.8)}
    with pytest.raises(EdgedistillError, match=r"returns \(1, 2\) scores, the file \(1, 3\) logits"):
        transformers_js.agreement(np.zeros((1, 2)), np.zeros((1, 3)))


def test_messages_keep_every_bit():
    arrays = {"a": np.array([[np.nan, np.inf, 1e-30]], np.float32), "b": np.array([2**60, -1]), "c": np.zeros((0, 3))}
    header, back = messages.unpack(messages.pack({"command": "run"}, arrays))
    assert header == {"command": "run"}
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
