"""The files of a model folder that are read, checked before any library opens them.

Imports neither torch nor transformers, so that planning can check models.
"""

from __future__ import annotations

import json
import os
import stat
from fnmatch import fnmatch
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.models.foreign_code import entries, refuse_foreign_code
from edgedistill.models.weights_header import StoredTensor, one_line, stored_tensors
from edgedistill.system.local_files import lies_within

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
VOCABULARIES = (
    "tokenizer.json",
    "tokenizer.*.json",
    "vocab*.txt",
    "vocab*.json",
    "merges.txt",
    "dict*.txt",
    "bpe.codes",
    "*.model",
    "tokenizer.model*",
    "*.spm",
    "*.tiktoken",
)
"""Vocabulary files of any type of tokenizer."""
READ = ("*.json", *VOCABULARIES, "*.jinja")
"""Every file except the weights that a library reads from a model folder."""
_CONFIGS = ("*config*.json", "*processor*.json", "special_tokens_map.json")
_TEMPLATES = "additional_chat_templates"
_ADAPTER = "adapter_config.json"
_LARGEST_CONFIG = 32 << 20


def files_read(folder: Path, name: str) -> list[Path]:
    """Every file of a model folder that is read on loading: weights, configurations, tokenizer, templates.

    Raises:
        UserError: as for `check_folder`.
    """
    return sorted({*_beside_weights(folder, name), *weight_files(folder, name)})


def check_folder(folder: Path, name: str, *, weights: bool = True) -> None:
    """Check every file of a model folder before a library reads it.

    Args:
        name: the model's name and purpose, with which every message starts.
        weights: whether weights and `config.json` are read too, not only the tokenizer.

    Raises:
        UserError: a file that is not regular, is outside the folder, has invalid contents, or requests code; with
            `weights` also an invalid or missing safetensors file.
    """
    _refuse_no_folder(folder, name)
    files = _beside_weights(folder, name)
    if weights:
        weight_files(folder, name)
    for file in files:
        if any(fnmatch(file.name, pattern) for pattern in _CONFIGS):
            content = read_object(file, name)
            refuse_foreign_code(content, file.name, name)
            _check_names(content, file.name, name)


def read_config(folder: Path, name: str) -> dict[str, object]:
    """The contents of `config.json`.

    Raises:
        UserError: it is missing, or names no architecture.
    """
    _refuse_no_folder(folder, name)
    content = read_object(_regular(folder / "config.json", folder, name), name)
    kind = content.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise UserError(f"{name}: config.json has the model_type {kind!r:.80}, expected the name of an architecture")
    return content


def weight_files(folder: Path, name: str) -> list[Path]:
    """The weight files: `model.safetensors`, or the shards that its index lists.

    Raises:
        UserError: there is none, it is not a safetensors file, or it is outside the folder.
    """
    _refuse_no_folder(folder, name)
    if os.path.lexists(folder / _ADAPTER):
        raise UserError(
            f"{name}: is an adapter ({_ADAPTER}) without the base model's weights; expected a model with the adapter "
            "merged"
        )
    parts = index_parts(folder, name)
    if os.path.lexists(folder / SINGLE):
        return [_regular(folder / SINGLE, folder, name)]
    if parts:
        return [_regular(folder / part, folder, name) for part in sorted(set(parts.values()))]
    others = sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.h5", "*.safetensors") for path in folder.glob(pattern)
    )
    beside = f" (it has {', '.join(others[:3])})" if others else ""
    raise UserError(
        f"{name} has no model weights in *.safetensors{beside}; expected {SINGLE}, or {INDEX} with its shards"
    )


def read_weights_header(folder: Path, name: str) -> dict[str, StoredTensor]:
    """Every tensor of the model, from the headers of its weight files.

    Raises:
        UserError: as for `weight_files`; an invalid file; an index that contradicts the files.
    """
    files = weight_files(folder, name)
    found = stored_tensors(files, name)
    if [file.name for file in files] != [SINGLE]:
        for tensor, part in index_parts(folder, name).items():
            if tensor not in found or found[tensor].file != part:
                raise UserError(f"{name}: {INDEX} lists {tensor!r:.80} in {part}, which does not contain it")
    if not found:
        raise UserError(f"{name}: {files[0].name} contains no weights")
    return found


def has_vocabulary(folder: Path) -> bool:
    """Whether the folder has a vocabulary file."""
    return any(file.is_file() for pattern in VOCABULARIES for file in folder.glob(pattern))


def read_object(file: Path, name: str) -> dict[str, object]:
    """The contents of a JSON file.

    Raises:
        UserError: it is unreadable, not JSON in UTF-8, larger than any configuration, or not an object.
    """
    try:
        if (size := file.stat().st_size) > _LARGEST_CONFIG:
            raise UserError(f"{name}: {file.name} has {size} bytes, expected at most {_LARGEST_CONFIG}")
        content = json.loads(file.read_bytes().decode("utf-8"))
    except RecursionError as error:
        raise UserError(f"{name}: {file.name} is nested too deeply; expected a model configuration") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: {file.name} cannot be read: {one_line(error)}; expected JSON in UTF-8") from error
    if not isinstance(content, dict):
        raise UserError(f"{name}: {file.name} contains {type(content).__name__}, expected an object")
    return content


def _refuse_no_folder(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise UserError(f"{name} cannot be loaded; expected an available Hub id, or an existing folder")


def index_parts(folder: Path, name: str) -> dict[str, str]:
    """The tensors listed in `model.safetensors.index.json` and their files; empty without an index.

    Raises:
        UserError: it is invalid, or lists something other than safetensors files in this folder.
    """
    if not os.path.lexists(folder / INDEX):
        return {}
    parts = read_object(_regular(folder / INDEX, folder, name), name).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise UserError(f"{name}: {INDEX} has no weight_map; expected one that maps tensor names to files")
    for part in parts.values():
        if not isinstance(part, str) or not _plain(part) or not part.endswith(".safetensors"):
            raise UserError(f"{name}: {INDEX} names {part!r:.80}; expected *.safetensors files in the same folder")
    return parts


def _plain(part: str) -> bool:
    """Whether it is a file name and not a path."""
    return not set(part) & {"/", "\\", "\0"} and part not in (".", "..")


def _beside_weights(folder: Path, name: str) -> list[Path]:
    """The files that are read besides the weights, each checked to be a regular file in the folder."""
    _refuse_no_folder(folder, name)
    found = [path for path in folder.iterdir() if any(fnmatch(path.name, pattern) for pattern in READ)]
    templates = folder / _TEMPLATES
    found += list(templates.glob("*.jinja")) if templates.is_dir() else []
    return [_regular(path, folder, name) for path in sorted(found)]


def _regular(file: Path, folder: Path, name: str) -> Path:
    """The file, after checking that it is regular and in the folder."""
    shown = file.relative_to(folder)
    try:
        place = file.resolve(strict=True)
        mode = place.stat().st_mode
    except FileNotFoundError:
        raise UserError(f"{name}: {shown} is missing, or is a broken link; expected a file") from None
    except (OSError, RuntimeError) as error:
        raise UserError(f"{name}: {shown} cannot be read: {one_line(error)}") from error
    if not stat.S_ISREG(mode):
        raise UserError(f"{name}: {shown} is not a regular file")
    if not lies_within(place, folder):
        raise UserError(f"{name}: {shown} is a link to outside the folder; expected every file inside it")
    if not os.access(place, os.R_OK):
        raise UserError(f"{name}: {shown} is not readable; check its permissions")
    return file


def _check_names(content: dict[str, object], file: str, name: str) -> None:
    """Check that file names in a configuration that a library would follow are not paths."""
    for key, value in entries(content, f"{name}: {file}"):
        if key == "fast_tokenizer_files" and isinstance(value, str) and not _plain(value):
            raise UserError(f"{name}: {file} names {value!r:.80} ({key}); expected files in the same folder")
