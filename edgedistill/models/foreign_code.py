"""Refuses model configurations that would make a library download or run code, before any library reads them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping

from edgedistill.errors import UserError

_DEEPEST = 64
_CODE = ("auto_map", "custom_pipelines")
_KERNELS = ("use_kernels", "kernel_config", "fusion_config")
_ATTENTION = ("eager", "sdpa", "flex_attention", "paged|eager", "paged|sdpa")
_EXPERTS = ("eager", "batched_mm", "grouped_mm")
# Architectures whose modelling code downloads a compiled kernel if the package `kernels` is installed.
_OWN_KERNELS = ("mra", "rwkv", "yoso")


def refuse_foreign_code(content: Mapping[str, object], file: str, name: str) -> None:
    """Check one configuration file at every depth.

    Args:
        content: contents of the file.
        file: its name, for the message.
        name: the model's name and purpose.

    Raises:
        UserError: it refers to code (`auto_map`, `custom_pipelines`), to compiled kernels on the Hub (an attention or
            experts implementation that is not built in), to quantized weights (their kernels come from the Hub) or to
            weights under another name; or it is nested too deeply.
    """
    for key, value in entries(content, f"{name}: {file}"):
        if value in (None, {}, [], "") or (isinstance(value, int) and value is not True):
            continue  # nothing, or a class of that name
        if key in _CODE:
            raise UserError(
                f"{name}: {file} requests remote code ({key}), which is never run; expected a model whose "
                "architecture transformers supports"
            )
        if key in _KERNELS:
            raise UserError(f"{name}: {file} requests external kernels ({key}), which are never loaded")
        if key == "quantization_config":
            raise UserError(f"{name}: {file} describes quantized weights ({key}); expected floating-point weights")
        if key == "transformers_weights":
            raise UserError(
                f"{name}: {file} sets its own weight files ({key}); expected model.safetensors, or "
                "model.safetensors.index.json with its shards"
            )
        if key == "model_type" and value in _OWN_KERNELS and _kernels_installed():
            raise UserError(
                f"{name}: the architecture {value} would download compiled code from the Hub, which is never run; "
                "uninstall the package kernels to use it"
            )
        for ending, allowed in (("attn_implementation", _ATTENTION), ("experts_implementation", _EXPERTS)):
            if key.removesuffix("_internal").endswith(ending):
                _check_implementation(key, value, allowed, f"{name}: {file}")


def entries(content: Mapping[str, object], where: str) -> Iterator[tuple[str, object]]:
    """Every key and value in nested mappings and lists; items of a list are under the list's key.

    Raises:
        UserError: more than 64 levels.
    """
    left: list[tuple[str, object, int]] = [("", content, 0)]
    while left:
        key, value, depth = left.pop()
        if depth > _DEEPEST:
            raise UserError(f"{where} is nested more than {_DEEPEST} levels deep; expected a model configuration")
        if depth:
            yield key, value
        if isinstance(value, Mapping):
            left += [(str(inner), item, depth + 1) for inner, item in value.items()]
        elif isinstance(value, list):
            left += [(key, item, depth + 1) for item in value]


def _check_implementation(key: str, value: object, allowed: tuple[str, ...], where: str) -> None:
    chosen = list(value.values()) if isinstance(value, Mapping) else [value]
    for kernel in chosen:
        if kernel is not None and kernel not in allowed:
            raise UserError(
                f"{where} requests the kernel {kernel!r:.80} ({key}), which is external; "
                f"expected one of {', '.join(allowed)}"
            )


def _kernels_installed() -> bool:
    return importlib.util.find_spec("kernels") is not None
