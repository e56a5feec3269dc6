"""Hub models as folders: only configurations, tokenizers and safetensors are downloaded, at one commit."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.models.folder import READ, SINGLE, check_folder, index_parts
from edgedistill.models.weights_header import one_line


def cache_of(repository: str, kind: str = "models") -> Path:
    """Folder of a model or data set (`datasets`) in the Hub client's cache."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"{kind}--{repository.replace('/', '--')}"


def commit_of(repository: str, revision: str, kind: str = "models") -> str:
    """The commit that a branch resolved to when last downloaded; the revision itself if it never was."""
    reference = cache_of(repository, kind) / "refs" / revision
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision


def fetch(model: str, revision: str, name: str, *, weights: bool) -> Path:
    """The checked folder of a Hub model, at the commit that `revision` last resolved to.

    Neither pickled weights nor code are downloaded, and weights only after everything else has been checked.

    Raises:
        UserError: it is not available on the Hub, or `check_folder` refuses it.
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
    """As `fetch` without weights, at the revision's current commit.

    Raises:
        UserError: as for `fetch`.
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
    except Exception as error:  # the client raises its own, network and operating system errors
        raise UserError(
            f"{name} (revision {revision}) is not a local folder and could not be downloaded from the Hub: "
            f"{one_line(error)}"
        ) from error
