"""Names and kinds of the files."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from .rows import Data


def _put(data: Data, change: Callable[[Path], None]) -> None:
    data.files.append(change)


def name_with_pattern_characters(data: Data, rng: random.Random) -> None:
    """A name that reads as a pattern, and neighbours that match it."""
    data.form = rng.choice(["jsonl", "csv"])
    name, neighbour = rng.choice(
        [("t[12]", "t1"), ("t?", "tx"), ("t*", "tall"), ("[a-z]", "q"), ("t[!x]", "ty"), ("**", "deep"), ("a::b", "b")]
    )
    data.names["train"] = f"{name}.{data.form}"

    def decoy(folder: Path) -> None:
        raw = (folder / data.name("train")).read_bytes().replace(b"weather", b"WRONG_FILE")
        (folder / f"{neighbour}.{data.form}").write_bytes(raw)

    if rng.random() < 0.7:
        _put(data, decoy)


def folder_with_pattern_characters(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    data.folder = rng.choice(
        ["batch[12]", "da?a", "d*", "x::y", "a b", "train[:5%]", "ü", ".hidden", "{a,b}", "%20", "a#b"]
    )


def name_odd(data: Data, rng: random.Random) -> None:
    data.names["train"] = (
        rng.choice(["a b", "ü", "train[:10%]", "-x", "a\nb", "a'b", "rows", "x" * 200, "data.tar"]) + f".{data.form}"
    )
    data.expected = "either" if "\n" in data.names["train"] else "works"


def not_a_file(data: Data, rng: random.Random) -> None:
    _not_a_file(data, rng.choice(["folder", "dangling", "socket", "device"]))


def link_to_itself(data: Data, rng: random.Random) -> None:
    _not_a_file(data, "loop")


def pipe(data: Data, rng: random.Random) -> None:
    _not_a_file(data, "fifo")


def _not_a_file(data: Data, how: str) -> None:
    data.expected = "refused"

    def change(folder: Path) -> None:
        file = folder / data.name("train")
        file.unlink()
        if how == "folder":
            file.mkdir()
            (file / "x.txt").write_text("x")
        elif how == "fifo":
            os.mkfifo(file)
        elif how == "socket":
            import socket

            at_home = os.getcwd()
            os.chdir(folder)
            socket.socket(socket.AF_UNIX).bind(file.name)
            os.chdir(at_home)
        else:
            file.symlink_to({"loop": file.name, "dangling": "nothing", "device": "/dev/zero"}[how])

    _put(data, change)


def link_to_the_file(data: Data, rng: random.Random) -> None:
    def change(folder: Path) -> None:
        file = folder / data.name("train")
        file.rename(folder / "elsewhere")
        file.symlink_to("elsewhere")

    _put(data, change)


def saved_folder(data: Data, rng: random.Random) -> None:
    """A folder as `datasets` saves it, sound or damaged; with a script that nothing may run."""
    how = rng.choice(["sound", "state", "info", "arrow cut", "other file", "script", "features", "no state"])
    data.names["train"] = "saved"
    # The rows and their types stand in the Arrow files; what is said of them beside may be passed over.
    data.expected = {"sound": "works", "script": "works", "info": "either", "features": "either"}.get(how, "refused")  # type: ignore[assignment]

    def change(folder: Path) -> None:
        from datasets import Dataset

        rows = data.rows["train"]
        Dataset.from_list([dict(row) for row in rows]).save_to_disk(str(folder / "saved"))
        saved = folder / "saved"
        arrow = next(saved.glob("*.arrow"))
        if how == "state":
            (saved / "state.json").write_text(rng.choice(["{", "[]", "{}", "null"]))
        elif how == "info":
            (saved / "dataset_info.json").write_text(rng.choice(["{", "[]", "null"]))
        elif how == "arrow cut":
            arrow.write_bytes(arrow.read_bytes()[: rng.choice([0, 10, arrow.stat().st_size // 2])])
        elif how == "other file":
            state = json.loads((saved / "state.json").read_text())
            state["_data_files"] = [{"filename": rng.choice(["../other.arrow", "/etc/passwd", "missing.arrow"])}]
            (folder / "other.arrow").write_bytes(arrow.read_bytes())
            (saved / "state.json").write_text(json.dumps(state))
        elif how == "script":
            (saved / "saved.py").write_text("open('../canary/script', 'w')\n")
        elif how == "features":
            info = json.loads((saved / "dataset_info.json").read_text())
            info["features"] = {"text": {"dtype": "int64", "_type": "Value"}, "label": {"_type": "nothing"}}
            (saved / "dataset_info.json").write_text(json.dumps(info))
        elif how == "no state":
            (saved / "state.json").unlink()

    _put(data, change)
