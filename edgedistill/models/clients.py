"""Which libraries can load a published model folder, and the README of a model that only edgedistill can load."""

from __future__ import annotations

import json
from pathlib import Path

EVERYONE = ("edgedistill", "transformers")
"""Libraries that know the model types of `transformers`, such as optimum and transformers.js."""
OURS = ("edgedistill",)

_NOTE = """# A model of edgedistill

`config.json` has the model type `{kind}`, which is specific to edgedistill: transformers, optimum and transformers.js
cannot load this folder by themselves. In Python it loads like any other model once edgedistill has registered the type:

```python
import edgedistill.models.{module}
from transformers import {auto_class}

model = {auto_class}.from_pretrained("this folder")
```

Its tokenizer, if any, is a standard one, and exported files (ONNX and others) need only their runtime.
"""
_LOADED_BY = {
    "edgedistill-pruned-bert": ("pruned_model", "AutoModelForSequenceClassification"),
    "edgedistill-static": ("static_model", "AutoModelForSequenceClassification"),
    "edgedistill-pixels": ("image_model", "AutoModelForImageClassification"),
}


def loads_in(folder: Path) -> tuple[str, ...]:
    """The libraries whose auto classes know a folder's model type: `EVERYONE` or `OURS`."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return EVERYONE if _model_type(folder) in CONFIG_MAPPING_NAMES else OURS


def write_note(folder: Path) -> None:
    """Write `README.md` with loading instructions into the folder of a model that only edgedistill can load."""
    kind = _model_type(folder)
    if kind in _LOADED_BY:
        module, auto_class = _LOADED_BY[kind]
        note = _NOTE.format(kind=kind, module=module, auto_class=auto_class)
        (folder / "README.md").write_text(note, encoding="utf-8")


def _model_type(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
