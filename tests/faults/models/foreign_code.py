"""Whatever might make a library run code that came with the model."""

from __future__ import annotations

import json
import pickle
import random
import shutil

from ..damaged import Json, Payload
from .folder import Folder


def pickle_in_place_of_weights(folder: Folder, rng: random.Random) -> None:
    name = rng.choice(["pytorch_model.bin", "model.safetensors", "model.bin", "pytorch_model.pt"])
    (folder.path / "model.safetensors").unlink()
    (folder.path / name).write_bytes(pickle.dumps(Payload(folder.canary / "weights")))


def index_names_another_file(folder: Folder, rng: random.Random) -> None:
    """The index leads to a pickle, out of the folder, or nowhere."""
    name = rng.choice(
        [
            "pytorch_model.bin",
            "../elsewhere.safetensors",
            "{absolute}",
            "missing.safetensors",
            "sub/../model-x.safetensors",
            "",
        ]
    )
    outside = folder.path.parent / "elsewhere.safetensors"
    shutil.copy(folder.path / "model.safetensors", outside)
    if name == "pytorch_model.bin":
        import torch
        from safetensors.torch import load_file

        torch.save(load_file(folder.path / "model.safetensors"), folder.path / name)
    name = name.replace("{absolute}", str(outside))
    from safetensors.numpy import load_file as read

    weights = dict.fromkeys(read(folder.path / "model.safetensors"), name)
    (folder.path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    if rng.random() < 0.3:
        shutil.move(folder.path / "model.safetensors", folder.path / "other.safetensors")
    else:
        (folder.path / "model.safetensors").unlink()
        shutil.copy(outside, folder.path / "decoy.safetensors")


def auto_map(folder: Folder, rng: random.Random) -> None:
    """Code of its own, offered by one of the folder's JSON files."""
    _auto_map(
        folder,
        rng.choice(["tokenizer_config.json", "processor_config.json", "preprocessor_config.json"]),
        rng.random() < 0.5,
    )


def auto_map_of_the_config(folder: Folder, rng: random.Random) -> None:
    _auto_map(folder, "config.json", rng.choice([True, False, False]))


def _auto_map(folder: Folder, name: str, known: bool) -> None:
    (folder.path / "evil.py").write_text(
        folder.code("auto_map")
        + "from transformers import BertConfig as EvilConfig, BertForSequenceClassification as EvilModel\n"
        + "from transformers import BertTokenizerFast as EvilTokenizer\n"
        + "EvilConfig.model_type = 'evil'\n"
    )
    entries = {
        "AutoConfig": "evil.EvilConfig",
        "AutoModelForSequenceClassification": "evil.EvilModel",
        "AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"],
    }

    def change(content: Json) -> None:
        content["auto_map"] = entries
        if name == "config.json" and not known:
            content["model_type"] = "evil"
        if name == "tokenizer_config.json":
            content["tokenizer_class"] = "EvilTokenizer" if not known else content.get("tokenizer_class")

    folder.edit(name, change)
    folder.expected = "either"


def code_asked_for(folder: Folder, rng: random.Random) -> None:
    (folder.path / "modeling_evil.py").write_text(folder.code("asked"))
    folder.edit(
        "config.json",
        lambda c: c.update(
            trust_remote_code=True,
            auto_map={"AutoModelForSequenceClassification": "modeling_evil.X"},
            architectures=["X"],
        ),
    )
    folder.edit("tokenizer_config.json", lambda c: c.update(trust_remote_code=True))
    folder.expected = "either"


def kernel_of_the_hub(folder: Folder, rng: random.Random) -> None:
    key = rng.choice(
        [
            "_attn_implementation",
            "attn_implementation",
            "_experts_implementation",
            "experts_implementation",
            "attn_implementation_internal",
        ]
    )
    folder.edit(
        "config.json",
        lambda c: c.update(
            {
                key: rng.choice(
                    ["evil/kernel", "kernels-community/flash-attn2", "evil/kernel@main:f", "paged|evil/kernel"]
                )
            }
        ),
    )
    folder.expected = "either"


def nested_config(folder: Folder, rng: random.Random) -> None:
    (folder.path / "evil.py").write_text(folder.code("nested"))
    nested = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}, "trust_remote_code": True}
    key = rng.choice(["text_config", "vision_config", "encoder", "decoder", "backbone_config", "quantization_config"])
    folder.edit("config.json", lambda c: c.update({key: nested}))
    folder.expected = "either"


def chat_template(folder: Folder, rng: random.Random) -> None:
    template = "{{ cycler.__init__.__globals__.os.system('touch " + str(folder.canary / "template") + "') }}"
    (folder.path / "chat_template.jinja").write_text(template)
    folder.edit("tokenizer_config.json", lambda c: c.update(chat_template=template))
    folder.expected = "either"


def adapter_beside(folder: Folder, rng: random.Random) -> None:
    """Says that it is an adapter of another model."""
    content = {
        "base_model_name_or_path": rng.choice(["evil/base", "../elsewhere", 3, None]),
        "peft_type": "LORA",
        "auto_mapping": {"base_model_class": "X", "parent_library": "evil"},
    }
    (folder.path / "adapter_config.json").write_text(json.dumps(content))
    (folder.path / "evil.py").write_text(folder.code("adapter"))
    folder.cwd = folder.path
    folder.expected = "either"


def modules_of_the_working_folder(folder: Folder, rng: random.Random) -> None:
    """The command is run inside the downloaded folder, where modules lie that are called like everyone's."""
    for name in ("numpy", "json", "torch", "transformers", "safetensors", "sitecustomize", "edgedistill", "typing"):
        (folder.path / f"{name}.py").write_text(folder.code(name))
    folder.cwd, folder.expected = folder.path, "works"


def quantization_asked_for(folder: Folder, rng: random.Random) -> None:
    method = rng.choice(["bitsandbytes", "gptq", "awq", "torchao", "evil", "hqq", "fp8", 3])
    folder.edit(
        "config.json", lambda c: c.update(quantization_config={"quant_method": method, "bits": 4, "load_in_8bit": True})
    )


def other_weights_file_named(folder: Folder, rng: random.Random) -> None:
    key = rng.choice(["transformers_weights", "weights_name", "gguf_file", "subfolder", "_commit_hash"])
    folder.edit(
        "config.json",
        lambda c: c.update({key: rng.choice(["../elsewhere.safetensors", "pytorch_model.bin", "x.gguf", 3])}),
    )
    shutil.copy(folder.path / "model.safetensors", folder.path.parent / "elsewhere.safetensors")
    (folder.path / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(folder.canary / "named")))
    folder.expected = "either"
