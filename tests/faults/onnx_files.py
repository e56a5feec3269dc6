"""ONNX files. Oracle: a short script that runs ONNX Runtime directly gets the reported accuracy on the test texts, with
one finite output per class; the reported bytes are those of all files of the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from .harness import Case, Verdict, judge
from .onnx_models.contents import (
    bytes_flipped,
    classes_of_the_config,
    cut_short,
    external_weights,
    external_weights_damaged,
    external_weights_elsewhere,
    graph_broken,
    modules_of_the_working_folder,
    neighbours_missing,
    not_a_file,
    operator_unknown,
    other_bytes,
    suffix_odd,
    version_unknown,
    weight_not_finite,
)
from .onnx_models.file import File, Mutation
from .onnx_models.signatures import (
    initializers_in_another_order,
    input_int32,
    input_more,
    input_renamed,
    inputs_in_another_order,
    output_renamed,
    outputs_as_probabilities,
    outputs_chosen,
    outputs_more,
    outputs_none,
    outputs_not_finite,
    outputs_of_another_rank,
    outputs_of_another_type,
    outputs_of_another_width,
    shape_fixed,
    unchanged_but_for_words,
)
from .world import LABELS

COUNT = 75
LIMIT_S = 60.0
NEEDS = ("finished",)


MUTATIONS: tuple[Mutation, ...] = (
    unchanged_but_for_words, initializers_in_another_order, output_renamed, input_renamed, inputs_in_another_order,
        input_int32,
    input_more, shape_fixed, outputs_of_another_width, outputs_not_finite, outputs_as_probabilities,
        outputs_of_another_type,
    outputs_of_another_rank, outputs_chosen, outputs_more, outputs_none, external_weights, external_weights_damaged,
    external_weights_elsewhere, weight_not_finite, version_unknown, operator_unknown, graph_broken, cut_short,
        other_bytes,
    bytes_flipped, suffix_odd, not_a_file, neighbours_missing, classes_of_the_config, modules_of_the_working_folder,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated file: `measure FILE --data test.jsonl`."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    case.canary.mkdir()
    folder = case.path("model")
    folder.mkdir()
    published = case.world.finished / "models" / "r1"
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(published / name, folder / name)
    file = File(Path(shutil.copy(published / "onnx" / "model.onnx", folder / "model.onnx")), case.canary)
    mutation(file, case.rng)
    test = case.world.data / "test.jsonl"
    outcome = case.command(
        "measure", file.path, "--data", test, "--min-seconds", "0.1", "--max-length", 32, "--json", cwd=file.cwd
    )
    return mutation.__name__, judge(
        case, outcome, file.expected, lambda: case.isolated(lambda: _differs(case, file, outcome.out))
    )


def _differs(case: Case, file: File, out: str) -> str | None:
    """What of the report isn't what ONNX Runtime itself says of the file."""
    found = json.loads(out)
    rows = case.world.rows("test")
    right, finite, widths = _answers(file.path, [row["text"] for row in rows])
    if widths != {len(LABELS)} or not finite:
        return (
            f"scored, though its outputs are {widths} wide, expected {len(LABELS)}"
            if finite
            else "scored outputs that are no numbers"
        )
    names = [
        label for _, label in sorted(json.loads((file.path.parent / "config.json").read_text())["id2label"].items())
    ]
    accuracy = float(np.mean([names[one] == row["label"] for one, row in zip(right, rows, strict=True)]))
    told = next(figure["value"] for figure in found["figures"] if figure["metric"] == "accuracy")
    if abs(accuracy - told) > 1e-9:
        return f"accuracy {told}, ONNX Runtime says {accuracy}"
    size = sum(path.stat().st_size for path in (file.path, *_weights(file.path)))
    return None if size == found["file_bytes"] else f"{found['file_bytes']} bytes, its files have {size}"


def _answers(file: Path, texts: list[str]) -> tuple[list[int], bool, set[int]]:
    """For each text alone the class of the largest logit; whether all are finite; how wide the outputs are."""
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file.parent / "tokenizer.json"))
    tokenizer.enable_truncation(32)
    tokenizer.no_padding()
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    kinds = {port.name: np.int32 if "int32" in port.type else np.int64 for port in session.get_inputs()}
    outputs = [port.name for port in session.get_outputs()]
    chosen = "logits" if "logits" in outputs else outputs[0]
    answers, finite, widths = [], True, set[int]()
    for text in texts:
        encoded = tokenizer.encode(text)
        given = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        feeds = {name: np.array([given[name]], dtype=kind) for name, kind in kinds.items()}
        logits = np.asarray(session.run([chosen], feeds)[0], dtype=np.float64)
        finite = finite and bool(np.isfinite(logits).all())
        widths.add(logits.shape[1] if logits.ndim == 2 else -logits.ndim)
        answers.append(int(logits.reshape(len(logits), -1).argmax(axis=1)[0]))
    return answers, finite, widths


def _weights(file: Path) -> list[Path]:
    """The files that the model's tensors name."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    names = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return [file.parent / name for name in names]
