"""Fingerprint of a data set: the hash of its files, or its commit on the Hub."""

from __future__ import annotations

from pathlib import Path

from edgedistill.data import packaged
from edgedistill.models import hub
from edgedistill.recipe.data_spec import DataSource
from edgedistill.system.hashes import file_hash, folder_hash
from edgedistill.system.local_files import refuse_data_path


def data_fingerprint(where: str, source: DataSource) -> str:
    """sha256 of a data set's files, or its Hub id and commit, with the slice that is read.

    Raises:
        UserError: it is missing or unreadable.
    """
    slicing = f"[{source.subset or ''}:{source.split or ''}]"
    if source.bundled is not None:
        return packaged.fingerprint(where, source.bundled) + slicing
    if source.path is None:
        return f"hub:{source.hub}@{pinned(source).revision}{slicing}"
    path = Path(source.path)
    refuse_data_path(f"{where}.path", path)
    if path.is_file():
        return file_hash(path) + slicing
    return folder_hash(sorted(file for file in path.rglob("*") if file.is_file())) + slicing


def pinned(source: DataSource) -> DataSource:
    """The source at the commit that its revision resolved to when last fetched; local sources are unchanged."""
    if source.hub is None:
        return source
    return source.model_copy(update={"revision": hub.commit_of(source.hub, source.revision, "datasets")})
