"""Tiny causal language models and what exporters are given of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from helpers import file_request
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from edgedistill.bundling.continuations import CONTINUATIONS, Continuation, Continuations
from edgedistill.bundling.facts import ComponentFacts, PortFacts
from edgedistill.bundling.layout import write_hashes
from edgedistill.bundling.snippets import Snippet, write_continuing
from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.target import FileRequest
from edgedistill.device.decoding import decoder_of
from edgedistill.device.generation import greedy_with_leads
from edgedistill.recipe.reading import shipped

VOCABULARY = 515
"""Of the random models; of fewer, torch folds a table that is the head into two."""
TEACHER = shipped()["stories"].parent / "stories" / "teacher"
"""The same model as it is shipped."""
STORIES = Path(__file__).parent.parent.parent / "shared" / "models" / "stories260k"


def tiny(**changed: object) -> LlamaForCausalLM:
    """A random Llama of 2 layers, wide apart in its logits, tied unless told otherwise."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **changed})).eval()


def family(kind: str, **sizes: object) -> torch.nn.Module:
    """A random model of a family by its configuration."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).eval()


def causal_request(model, precision: str = "fp32", max_length: int = 40, **more) -> FileRequest:
    """What an exporter is given of a causal language model."""

    def samples(batch: int, length: int) -> dict[str, torch.Tensor]:
        drawn = torch.Generator().manual_seed(0)
        ids = torch.randint(3, model.config.vocab_size, (batch, length), generator=drawn)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return file_request(precision, lambda: model, samples, max_length, **more)


def greedy_of_torch(model, prompt: list[int], count: int) -> list[int]:
    """What torch's own `generate` says, without stopping at an end."""
    given = torch.tensor([prompt])
    model.generation_config.eos_token_id = None
    with torch.no_grad():
        said = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=count, do_sample=False)
    return said[0, len(prompt) :].tolist()


def write_stories(folder: Path) -> None:
    """The shipped model's description, and its ONNX file below it."""
    for file in TEACHER.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, folder / file.name)
    (folder / "onnx").mkdir()
    model = AutoModelForCausalLM.from_pretrained(TEACHER, dtype=torch.float32).eval()
    registry.target("onnx").make(causal_request(model, folder=TEACHER), folder / "onnx" / "model.onnx")


PROMPTS = ("Once upon a time", "Lily and Tom", "ü")


def golden_of(file: Path) -> Continuations:
    """What the stories' ONNX file says after a few beginnings."""
    tokenizer = AutoTokenizer.from_pretrained(TEACHER)
    graph, items = registry.runtime("onnxruntime").open(file, 1, PortNames()), []
    for number, prompt in enumerate(PROMPTS):
        ids = tokenizer(prompt)["input_ids"]
        every = list(greedy_with_leads(decoder_of(graph), ids, 20, {2}))
        said = tuple(token for token, _ in every)
        unsure = tuple(place for place, (_, lead) in enumerate(every) if lead <= 2e-3)
        whole = tokenizer.decode([*ids, *said], skip_special_tokens=True)
        items.append(Continuation(number, prompt, True, tuple(ids), said, unsure, whole.removeprefix(prompt)))
    least = sum(len(item.said) for item in items) - 2
    return Continuations((1,), 2, (2,), 512, ("<user>", "\n<say>"), least, tuple(items))


def write_bundle(file: Path, known: Continuations, place: Path, runtime: str = "onnxruntime", name: str = "") -> Path:
    """As much of a bundle of that file, under that name, as its scripts read."""
    shutil.copytree(file.parent.parent, place)
    opened = (place / "onnx" / "model.onnx").rename(place / "onnx" / (name or "model.onnx"))
    inputs = tuple(PortFacts(name, "int64", None) for name in ("input_ids", "attention_mask"))
    component = ComponentFacts(((None, f"onnx/{opened.name}"),), inputs, (PortFacts("logits", "float32", None),))
    snippet = Snippet(
        recipe="stories",
        candidate=f"teacher/onnx/fp32/{runtime}",
        runtime=runtime,
        runtime_reference="edgedistill.runtimes.onnxruntime:RUNTIME",
        driver="edgedistill.tasks._language_driver",
        components={"model": component},
        text=True,
        pair=False,
        max_length=256,
    )
    (place / CONTINUATIONS).write_text(known.as_json(), encoding="utf-8")
    write_continuing(snippet, known, place)
    write_hashes(place)
    return place
