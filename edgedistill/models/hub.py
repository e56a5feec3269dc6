"""Models of the hub as folders: only configurations, tokenizers and safetensors are fetched, at one commit."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.models.folder import READ, SINGLE, check_folder, index_parts
from edgedistill.models.weights_header import one_line


def cache_of(repository: str, kind: str = "models") -> Path:
    """Where the hub's client keeps a model or data set (`datasets`)."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"{kind}--{repository.replace('/', '--')}"


def commit_of(repository: str, revision: str, kind: str = "models") -> str:
    """The commit that a branch stood for when it was last fetched; the revision itself when it never was."""
    reference = cache_of(repository, kind) / "refs" / revision
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision


def fetch(model: str, revision: str, name: str, *, weights: bool) -> Path:
    """The folder of a model of the hub, checked, at the commit that `revision` stood for when it was last looked up.

    Neither pickled weights nor code are fetched. Weights come only after everything else was found to be in order.

    Raises:
        UserError: the hub doesn't give it, or `check_folder` refuses what it gave.
    """
    commit = commit_of(model, revision)
    folder = _download(model, commit, list(READ), name)
    check_folder(folder, name, weights=False)
    if weights:
        folder = _download(model, folder.name, [SINGLE], name)
        if not (folder / SINGLE).is_file() and (parts := index_parts(folder, name)):
            folder = _download(model, folder.name, [glob.escape(part) for part in sorted(set(parts.values()))], name)
        check_folder(folder, name)
    return folder


def look_up(model: str, revision: str, name: str) -> Path:
    """As `fetch` without weights, at what the revision stands for now.

    Raises:
        UserError: as `fetch`.
    """
    folder = _download(model, revision, list(READ), name)
    check_folder(folder, name, weights=False)
    return folder


def _download(model: str, revision: str, patterns: list[str], name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, logging

    disable_progress_bars()
    logging.set_verbosity_error()
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
    except Exception as error:  # the client raises its own, the network's and the operating system's errors
        raise UserError(
            f"{name} (revision {revision}) is not a local folder and could not be downloaded from the Hub: "
            f"{one_line(error)}"
        ) from error
