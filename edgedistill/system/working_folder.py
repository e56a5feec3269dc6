"""Removes the working folder from the module path of our own command. Imported before anything that might be there, so
it only imports what Python has already loaded.
"""

from __future__ import annotations

import os
import sys


def absolute(listed: str) -> list[str]:
    """The entries of a search path that do not depend on the working folder, which empty and relative ones do."""
    return [entry for entry in listed.split(os.pathsep) if os.path.isabs(entry)]


def forget() -> None:
    """Remove the entry that `python -m edgedistill...` puts first, and those from empty or relative entries of
    PYTHONPATH. A program that imports edgedistill keeps its own path."""
    words = sys.orig_argv
    as_module = "-m" in words[:-1] and words[words.index("-m") + 1].partition(".")[0] == "edgedistill"
    if as_module and not sys.flags.safe_path:
        del sys.path[:1]
    if as_module or os.path.basename((sys.argv or [""])[0]) in ("edgedistill", "edgedistill.exe"):
        listed = os.environ.get("PYTHONPATH") or "/"
        chosen = {os.path.abspath(entry) for entry in absolute(listed)}
        meant = {os.path.abspath(entry) for entry in listed.split(os.pathsep)} - chosen
        sys.path[:] = [entry for entry in sys.path if entry not in meant]
