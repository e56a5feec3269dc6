"""Loads, resizes and saves transformers models: safetensors only, no remote code, one clear message on failure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.models import hub
from edgedistill.models.fit import check_loaded, check_shapes, check_sizes
from edgedistill.models.folder import check_folder, read_config, read_weights_header
from edgedistill.models.tokenizer_checks import refuse_missing_files, refuse_no_vocabulary
from edgedistill.models.weights_header import one_line

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from edgedistill.recipe.teacher_spec import Architecture

_POSITION_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")


def load_config(
    source: str | Path | None, revision: str | None, overrides: Mapping[str, object] | None = None
) -> PreTrainedConfig:
    """The configuration of a folder or Hub id.

    Raises:
        UserError: it is unavailable, or requests remote code.
    """
    return _config(_place(source, revision, weights=False), _name(source), overrides)


def load_tokenizer(source: str | Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or Hub id.

    Raises:
        UserError: it is unavailable, has no files, or requests remote code.
    """
    from transformers import AutoTokenizer

    name = _name(source)
    folder = _place(source, revision, weights=False)
    refuse_no_vocabulary(folder, name)
    given: dict[str, object] = {}
    if folder != Path(source):  # some Hub tokenizers are recognised by their id
        config = _config(folder, name)
        config.name_or_path = str(source)
        given["config"] = config
    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, **given)
    refuse_missing_files(tokenizer, folder, name)
    return tokenizer


def load_model(
    auto_class: AutoClass,
    source: str | Path | None,
    revision: str | None,
    overrides: Mapping[str, object] | None = None,
    *,
    head_required: bool = False,
) -> PreTrainedModel:
    """A model in float32 and evaluation mode, read from safetensors.

    Args:
        head_required: refuse a checkpoint that lacks some of the model's weights (a body without the task's head).

    Raises:
        UserError: it is unavailable; configuration and weights do not match; weights of its body (or any, with
            `head_required`) are missing, NaN or infinite.
    """
    import torch

    name = _name(source)
    quiet_transformers()
    folder = _place(source, revision, weights=True)
    config = _described(auto_class, folder, name, overrides).config
    with _explained(name):
        model, info = auto_class.from_pretrained(
            str(folder),
            config=config,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # mismatches are refused below, by name
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    remedy = "add teacher.fine_tune, or use a model that was fine-tuned for the task"
    check_loaded(model, info, name, head_required=head_required, remedy=remedy)
    _own_memory(model)
    return model.eval()


def _own_memory(model: nn.Module) -> None:
    """Give each weight its own memory: fused tensors are loaded as views of one, which safetensors cannot save."""
    for weight in model.parameters():
        if weight.untyped_storage().nbytes() > weight.numel() * weight.element_size():
            weight.data = weight.data.clone()


def embedding_rows(auto_class: AutoClass, source: str | Path, revision: str | None) -> int | None:
    """The number of token embeddings of a model, without loading its weights; None without a token table.

    Raises:
        UserError: as for `load_model`, as far as configuration and file headers show.
    """
    quiet_transformers()
    table = embedding_shape(_described(auto_class, _place(source, revision, weights=True), _name(source), None))
    return None if table is None else table[0]


def embedding_shape(model: PreTrainedModel) -> tuple[int, int] | None:
    """Rows and width of a model's token embeddings; None without a token table."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return None
    weight = getattr(table, "weight", None)
    return None if weight is None else (int(weight.shape[0]), int(weight.shape[-1]))


def _described(
    auto_class: AutoClass, folder: Path, name: str, overrides: Mapping[str, object] | None
) -> PreTrainedModel:
    """The model built from its configuration on the meta device, after checking its files."""
    import torch

    stored = read_weights_header(folder, name)
    check_sizes(read_config(folder, name), stored, name)
    config = _config(folder, name, overrides)
    with _explained(name), torch.device("meta"):
        model = auto_class.from_config(config)
    check_shapes(model, stored, name)
    return model


def _config(folder: Path, name: str, overrides: Mapping[str, object] | None = None) -> PreTrainedConfig:
    from transformers import AutoConfig

    from edgedistill.models import image_model, pruned_model, static_model  # noqa: F401 - the auto classes learn of their models

    read_config(folder, name)
    with _explained(name):
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False, **dict(overrides or {}))


def longest_input(model: PreTrainedModel) -> int:
    """A model's context length, from its configuration and position tables.

    RoBERTa and its relatives number positions from after the padding index, which their tables record.
    """
    named = getattr(model.config, "max_position_embeddings", None)
    limits = [named if isinstance(named, int) and named > 0 else sys.maxsize]  # -1 in XLNet: unlimited
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name.rsplit(".", 1)[-1] in _POSITION_TABLES and weight is not None:
            padding = getattr(module, "padding_idx", None)
            limits.append(len(weight) - (0 if padding is None else padding + 1))
    return min(limits)


def outline(auto_class: AutoClass, config: PreTrainedConfig) -> PreTrainedModel:
    """Build a model's modules and weight shapes without allocating memory."""
    import torch

    with torch.device("meta"):
        return auto_class.from_config(config)


def give_padding_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer without a padding token (GPT-2, Llama) pad with its end-of-text token.

    Raises:
        UserError: it has neither.
    """
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token is None:
        raise UserError(
            "the tokenizer has neither a padding nor an end-of-text token; expected 'pad_token' in its "
            "tokenizer_config.json"
        )
    tokenizer.pad_token = tokenizer.eos_token


def know_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedModel:
    """Set the padding token in the model's configuration if missing, since classifiers on the last token need it to
    find that token."""
    if tokenizer is not None and getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


def bert_config(
    architecture: Architecture, vocabulary: int, positions: int, labels: Mapping[str, object]
) -> PreTrainedConfig:
    """The configuration of a BERT of that size, for text models trained from scratch."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocabulary,
        num_hidden_layers=architecture.layers,
        hidden_size=architecture.hidden_size,
        num_attention_heads=architecture.heads,
        intermediate_size=architecture.intermediate_size,
        max_position_embeddings=positions,
        type_vocab_size=1,
        hidden_dropout_prob=architecture.dropout,
        attention_probs_dropout_prob=architecture.dropout,
        **labels,
    )


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write weights (safetensors) and `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet_transformers()
    model.save_pretrained(folder)


def parameter_count(model: nn.Module) -> int:
    """Parameter count, counting shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def quiet_transformers() -> None:
    """Silence transformers' loading reports and progress bars; problems are checked and reported here."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _name(source: str | Path | None) -> str:
    return f"model '{source}'"


def _place(source: str | Path | None, revision: str | None, *, weights: bool) -> Path:
    """The checked folder of a local model, or of a Hub model at its commit."""
    if isinstance(source, str) and not Path(source).is_absolute() and not Path(source).is_dir():
        return hub.fetch(source, revision or "main", _name(source), weights=weights)
    folder = Path(str(source))
    check_folder(folder, _name(source), weights=weights)
    return folder


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn any library error about a model's files into one message; wrap only the library's own calls."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        # A panic in the tokenizers library derives from BaseException, like an interrupt.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"{name} cannot be loaded; expected a complete, intact model that transformers supports: {one_line(error)}"
        ) from error
