"""Loading, resizing and saving transformers models: safetensors only, no remote code, one clear sentence on failure."""

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

    from edgedistill.recipe.schema import Architecture

_POSITION_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")


def load_config(
    source: str | Path | None, revision: str | None, overrides: Mapping[str, object] | None = None
) -> PreTrainedConfig:
    """The configuration of a folder or hub id.

    Raises:
        UserError: it can't be had, or asks for code of its own.
    """
    return _config(_place(source, revision, weights=False), _name(source), overrides)


def load_tokenizer(source: str | Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id.

    Raises:
        UserError: it can't be had, none of its files is there, or it asks for code of its own.
    """
    from transformers import AutoTokenizer

    name = _name(source)
    folder = _place(source, revision, weights=False)
    refuse_no_vocabulary(folder, name)
    given: dict[str, object] = {}
    if folder != Path(source):  # some tokenizers of the hub are known by their id
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
        UserError: it can't be had; its configuration and its weights don't belong together; weights of its body are
            missing (or any, and `head_required`), NaN or infinite.
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
            ignore_mismatched_sizes=True,  # what doesn't fit is refused below, by name
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    remedy = "add teacher.fine_tune, or use a model that was fine-tuned for the task"
    check_loaded(model, info, name, head_required=head_required, remedy=remedy)
    _own_memory(model)
    return model.eval()


def _own_memory(model: nn.Module) -> None:
    """Give each weight memory of its own: fused tensors are read as views of one, which safetensors cannot write."""
    for weight in model.parameters():
        if weight.untyped_storage().nbytes() > weight.numel() * weight.element_size():
            weight.data = weight.data.clone()


def embedding_rows(auto_class: AutoClass, source: str | Path, revision: str | None) -> int | None:
    """How many tokens a model has embeddings for, without loading its weights; None for one without such a table.

    Raises:
        UserError: as `load_model`, for all that its configuration and the headers of its files tell.
    """
    quiet_transformers()
    table = embedding_shape(_described(auto_class, _place(source, revision, weights=True), _name(source), None))
    return None if table is None else table[0]


def embedding_shape(model: PreTrainedModel) -> tuple[int, int] | None:
    """Rows and width of a model's token embeddings; None for one without such a table."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return None
    weight = getattr(table, "weight", None)
    return None if weight is None else (int(weight.shape[0]), int(weight.shape[-1]))


def _described(
    auto_class: AutoClass, folder: Path, name: str, overrides: Mapping[str, object] | None
) -> PreTrainedModel:
    """The model as its configuration describes it, on the meta device, once its files are found to fit."""
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
    """How many tokens a model takes at most, by its configuration and its tables of positions.

    RoBERTa and its relatives number positions from behind the padding token's, which their tables know.
    """
    named = getattr(model.config, "max_position_embeddings", None)
    limits = [named if isinstance(named, int) and named > 0 else sys.maxsize]  # -1 of XLNet: as many as there are
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name.rsplit(".", 1)[-1] in _POSITION_TABLES and weight is not None:
            padding = getattr(module, "padding_idx", None)
            limits.append(len(weight) - (0 if padding is None else padding + 1))
    return min(limits)


def outline(auto_class: AutoClass, config: PreTrainedConfig) -> PreTrainedModel:
    """A model's modules and the shapes of its weights, without memory for them."""
    import torch

    with torch.device("meta"):
        return auto_class.from_config(config)


def give_padding_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer without a padding token (GPT-2, Llama) pad with the one that ends a text.

    Raises:
        UserError: it has no such token either.
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
    """The model, its configuration naming the padding token where it named none: a classifier that reads its answer
    from the last token must tell which that is."""
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
    """Parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def quiet_transformers() -> None:
    """Keep load reports and bars of transformers off the terminal: what matters is checked here and said once."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _name(source: str | Path | None) -> str:
    return f"model '{source}'"


def _place(source: str | Path | None, revision: str | None, *, weights: bool) -> Path:
    """The checked folder of a local model, or of a hub id's files at its commit."""
    if isinstance(source, str) and not Path(source).is_absolute() and not Path(source).is_dir():
        return hub.fetch(source, revision or "main", _name(source), weights=weights)
    folder = Path(str(source))
    check_folder(folder, _name(source), weights=weights)
    return folder


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever a library raises over a model's files into one sentence; only its own calls stand in here."""
    try:
        yield
    except UserError:
        raise
    except BaseException as error:
        # A panic of the tokenizers' library derives from BaseException, as an interrupt does.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"{name} cannot be loaded; expected a complete, intact model that transformers supports: {one_line(error)}"
        ) from error
