"""Where a file spends its time, by kind of operator: what limits it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

from edgedistill.arrays import Arrays

RUNS, SHOWN = 30, 4


def shares(runtime: str, file: Path, item: Arrays) -> dict[str, float]:
    """Operator -> share of the time of all operators, largest first, on one thread."""
    spent = _of_onnxruntime(file, item) if runtime == "onnxruntime" else _of_openvino(file, item)
    total = sum(spent.values())
    return {name: value / total for name, value in Counter(spent).most_common()}


def in_words(found: dict[str, float]) -> str:
    """The largest shares.

    >>> in_words({"MatMul": 0.75, "Softmax": 0.25})
    'MatMul 75%, Softmax 25%'
    """
    return ", ".join(f"{name} {share:.0%}" for name, share in list(found.items())[:SHOWN])


def _of_onnxruntime(file: Path, item: Arrays) -> dict[str, float]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = {port.name for port in session.get_inputs()}
        for _ in range(RUNS):
            session.run(None, {name: array for name, array in item.items() if name in names})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent: Counter[str] = Counter()
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return dict(spent)


def _of_openvino(file: Path, item: Arrays) -> dict[str, float]:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": True,
    }
    request = openvino.Core().compile_model(file, "CPU", settings).create_infer_request()
    names = {name for port in request.model_inputs for name in port.get_names()}
    spent: Counter[str] = Counter()
    for _ in range(RUNS):
        request.infer({name: array for name, array in item.items() if name in names})
        for node in request.profiling_info:
            spent[node.node_type] += node.real_time.total_seconds()
    return {name: value for name, value in spent.items() if value > 0}
