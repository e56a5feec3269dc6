"""Streaming text generation with a run's candidate or PyTorch model, a bundle, or a single file or folder."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.bundling.layout import is_bundle, open_bundle
from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.device import streaming
from edgedistill.device.files import Component, Files
from edgedistill.device.generation import generate
from edgedistill.device.sampling import Sampling
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.evaluation.results import Results, load_results
from edgedistill.isolation import environments
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.lone_file import model_folder
from edgedistill.measuring.readers import refuse_other_tokenizer
from edgedistill.models.loading import load_config, load_model, load_tokenizer, longest_input, outline
from edgedistill.models.tokenizer_files import ends_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.driver import Driver
    from edgedistill.contracts.task import Prompt, Task

DEFAULT_TASK = "text-generation"
"""Default task of a single file, which does not declare one."""
MOST_TOKENS = 256
"""Default maximum of new tokens."""


@dataclass(frozen=True)
class Speaker:
    """A text generator."""

    task: str
    folder: Path
    """Has the tokenizer and, for a PyTorch model, the weights."""
    files: Files | None
    """None: the PyTorch model in `folder`."""
    runtime: str | None

    @property
    def opened(self) -> Path:
        """Its name in messages: the first file, or the PyTorch model's folder."""
        components = [] if self.files is None else list(self.files.values())
        return next((file for component in components for file in component.files.values()), self.folder)


@dataclass(frozen=True)
class Wish:
    """Generation settings.

    Args:
        limit: maximum of new tokens; None: `MOST_TOKENS`, or what fits the model's context.
    """

    prompt: Prompt
    limit: int | None
    sampling: Sampling


def find(place: Path, candidate: str | None, model: str | None, tokenizer: Path | None, runtime: str | None) -> Speaker:
    """Resolve what is to generate text.

    Args:
        place: a run folder, a bundle, or a model folder or file.
        candidate, model: of a run; default: the chosen candidate.
        tokenizer, runtime: for a single file; default: the tokenizer beside or above it, and a runtime that opens it.

    Raises:
        UserError: nothing suitable, or a task that does not generate text.
    """
    if not place.exists():
        raise UserError(f"generate: '{place}' is not a file or folder")
    if (place / "results.json").is_file():
        if tokenizer is not None or runtime is not None:
            raise UserError("generate: --tokenizer and --runtime do not apply to a run, which has its own")
        return _of_run(place, candidate, model)
    if candidate is not None or model is not None:
        raise UserError(f"generate: '{place}' is not a finished run, which --candidate and --model require")
    if is_bundle(place):
        bundle = open_bundle(place)
        _refuse_other_tasks(bundle.facts.task, f"'{place}'")
        speaker = Speaker(bundle.facts.task, place, bundle.opened, runtime or bundle.facts.runtime)
        if runtime is not None:
            _refuse_other_files(runtime, speaker.opened)
        return speaker
    if (place / "config.json").is_file() and list(place.glob("*.safetensors")):
        if tokenizer is not None or runtime is not None:
            raise UserError("generate: --tokenizer and --runtime do not apply to a model folder, which PyTorch runs")
        return Speaker(DEFAULT_TASK, place, None, None)
    return _of_file(place, tokenizer, runtime)


def _of_run(run: Path, candidate: str | None, model: str | None) -> Speaker:
    results = load_results(run)
    _refuse_other_tasks(results.data.task, f"the run {run}")
    if model is not None:
        if candidate is not None:
            raise UserError("generate: got both --candidate and --model, expected one of them")
        known = ["teacher", *(round_.id for round_ in results.rounds)]
        if model not in known:
            raise UserError(f"generate: the run {run} has no model '{model}'; expected one of {', '.join(known)}")
        return Speaker(results.data.task, run / "models" / model, None, None)
    row = results.candidate(_candidate(run, results, candidate))
    if row.lengths:
        raise UserError(f"generate: '{row.id}' has fixed input lengths and cannot generate text")
    return Speaker(
        results.data.task, run / "models" / row.model, _files(run / row.file, results.data.task), row.runtime
    )


def _candidate(run: Path, results: Results, asked: str | None) -> str:
    """The id of a measured candidate.

    Raises:
        UserError: there is no such candidate, or none was chosen.
    """
    if asked is None and results.chosen is None:
        raise UserError(f"generate: the run {run} has no chosen candidate ({results.why}); name one with --candidate")
    known = [candidate.id for candidate in results.measured]
    if asked is not None and asked not in known:
        raise UserError(f"generate: the run {run} has no candidate '{asked}'; expected one of {', '.join(known)}")
    return asked or str(results.chosen)


def _files(file: Path, task: str) -> Files:
    """A file that contains the whole model.

    Raises:
        UserError: the task needs several files.
    """
    driver: Driver = importlib.import_module(registry.task(task).device).DRIVER
    if len(driver.components) != 1:
        raise UserError(f"generate: a model for '{task}' has {len(driver.components)} files, got one: '{file}'")
    (name,) = driver.components
    return {name: Component({None: file}, PortNames((), driver.outputs[name]))}


def _of_file(place: Path, tokenizer: Path | None, runtime: str | None) -> Speaker:
    """A single file, or a folder that a runtime opens as one."""
    able = [name for name in registry.names("runtimes") if registry.runtime(name).opens(place)]
    if runtime is not None:
        _refuse_other_files(runtime, place)
    if not able:
        raise UserError(f"generate: no runtime opens '{place}'; expected a run, a bundle or a model file or folder")
    chosen = runtime or ("onnxruntime" if "onnxruntime" in able else able[0])
    inside = place if (place / "tokenizer.json").is_file() else None
    folder = tokenizer or inside or model_folder(place, "generate")
    return Speaker(DEFAULT_TASK, folder, _files(place, DEFAULT_TASK), chosen)


def _refuse_other_files(runtime: str, file: Path) -> None:
    opening = registry.runtime(runtime)
    if not opening.opens(file):
        raise UserError(f"generate: '{file}' is not a file that {runtime} opens ({opening.opened})")


def _refuse_other_tasks(name: str, what: str) -> None:
    if registry.task(name).data.prompt is not None:
        return
    able = [task for task in registry.names("tasks") if registry.task(task).data.prompt is not None]
    raise UserError(
        f"generate: {what} is a model for '{name}', which does not generate text; expected {' or '.join(able)}"
    )


def pieces(speaker: Speaker, wish: Wish) -> Iterator[str]:
    """The continuation, piece by piece as soon as characters are complete.

    Raises:
        UserError: prompt and continuation do not fit the model.
        EdgedistillError: the file cannot be run.
    """
    task = registry.task(speaker.task)
    tokenizer = load_tokenizer(speaker.folder)
    assert task.data.prompt is not None, "other tasks are refused"
    prompt = task.data.prompt(tokenizer, wish.prompt)
    ends = ends_of(tokenizer, speaker.folder)
    said = (
        _by_torch(speaker, task, wish, prompt, ends)
        if speaker.files is None
        else _by_file(speaker, wish, prompt, ends, tokenizer)
    )
    yield from streaming.pieces(tokenizer.backend_tokenizer, prompt, said)


def _by_torch(speaker: Speaker, task: Task, wish: Wish, prompt: list[int], ends: frozenset[int]) -> Iterator[int]:
    model = load_model(task.model.auto_class(), speaker.folder, None, head_required=True)
    assert task.model.decoder is not None, "other tasks are refused"
    limit = _limit(wish, len(prompt), longest_input(model))
    yield from generate(task.model.decoder(model), prompt, limit, ends, wish.sampling)


def _by_file(
    speaker: Speaker, wish: Wish, prompt: list[int], ends: frozenset[int], tokenizer: PreTrainedTokenizerBase
) -> Iterator[int]:
    assert speaker.files is not None, "it is a file's"
    assert speaker.runtime is not None, "it is a file's"
    environments.interpreter(registry.runtime(speaker.runtime).packages)
    longest = _longest(speaker)
    device = DeviceModel(speaker.files, speaker.runtime, speaker.task)
    with tempfile.TemporaryDirectory() as place, ExitStack() as closing:
        try:
            opened = closing.enter_context(device.opened(Path(place)))
        except UserError:
            raise
        except EdgedistillError as error:
            raise UserError(f"generate: {speaker.runtime} cannot open '{speaker.opened}': {error}") from error
        refuse_other_tokenizer(opened, tokenizer, speaker.folder, f"generate: '{speaker.opened}'")
        told = [length for length in (longest, opened.loaded.longest) if length is not None]
        limit = _limit(wish, len(prompt), min(told, default=None))
        yield from opened.say(prompt, limit, ends, wish.sampling)


def _longest(speaker: Speaker) -> int | None:
    """The model's context length from its configuration; None if there is none beside the tokenizer."""
    if not (speaker.folder / "config.json").is_file():
        return None
    auto_class = registry.task(speaker.task).model.auto_class()
    return longest_input(outline(auto_class, load_config(speaker.folder, None)))


def _limit(wish: Wish, prompt: int, longest: int | None) -> int:
    """The maximum number of new tokens.

    Raises:
        UserError: they do not fit the model's context.
    """
    if longest is None:
        return wish.limit or MOST_TOKENS
    if prompt >= longest:
        raise UserError(
            f"generate: the prompt has {prompt} tokens, and prompt and continuation must fit in the model's {longest}; "
            "expected a shorter prompt"
        )
    if wish.limit is not None and prompt + wish.limit > longest:
        raise UserError(
            f"generate: {wish.limit} tokens after a prompt of {prompt} exceed the model's limit of {longest}; "
            f"expected at most {longest - prompt}"
        )
    return wish.limit or min(MOST_TOKENS, longest - prompt)
