"""Files that are missing, changed, more, or elsewhere."""

from __future__ import annotations

import json
import pickle
import random
import shutil

from ..damaged import Payload
from .copy import Copy, listed


def file_changed_unvouched(bundle: Copy, rng: random.Random) -> None:
    file = listed(bundle, rng)
    raw = bytearray(file.read_bytes())
    raw[rng.randrange(len(raw))] ^= rng.choice([1, 64, 255])
    file.write_bytes(bytes(raw))
    bundle.vouch = False


def file_missing_unvouched(bundle: Copy, rng: random.Random) -> None:
    listed(bundle, rng).unlink()
    bundle.vouch = False


def file_is_a_folder(bundle: Copy, rng: random.Random) -> None:
    file = listed(bundle, rng)
    file.unlink()
    file.mkdir()
    bundle.vouch = False


def file_is_a_link(bundle: Copy, rng: random.Random) -> None:
    """A loop, a dangling link, or one out of the folder to the same bytes."""
    file, how = listed(bundle, rng), rng.choice(["loop", "dangling", "outside"])
    outside = bundle.path.parent / "outside"
    shutil.copy(file, outside)
    file.unlink()
    file.symlink_to({"loop": file.name, "dangling": "nothing", "outside": str(outside)}[how])
    bundle.vouch = False
    bundle.expected = "either" if how == "outside" else "refused"


def hashes_odd(bundle: Copy, rng: random.Random) -> None:
    file = bundle.path / "sha256.txt"
    raw = file.read_text()
    odd: list[str | bytes] = [
        "", "x", "0  bundle.json\n", raw.upper(), raw.replace("  ", " "), raw + "00  ../../x\n",
        raw + "zz  /etc/passwd\n", "\x00" * 9, b"\xff\xfe",
         raw.splitlines()[0], raw + "ab  \n", raw + "  \n", raw + "aa  a\x00b\n",
    ]  # fmt: skip
    content = rng.choice(odd)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    bundle.vouch = False
    bundle.expected = "refused" if content not in (raw.upper(), raw + "  \n") else "either"


def hashes_missing(bundle: Copy, rng: random.Random) -> None:
    (bundle.path / "sha256.txt").unlink()
    bundle.vouch = False


def written_otherwise(bundle: Copy, rng: random.Random) -> None:
    """The same facts in another order and spacing."""
    for name in ("bundle.json", "golden.json", "labels.json"):
        file = bundle.path / name
        content = json.loads(file.read_text(encoding="utf-8"))
        mixed = dict(rng.sample(list(content.items()), len(content))) if isinstance(content, dict) else content
        file.write_text(json.dumps(mixed, indent=rng.choice([None, 3])) + "\n\n", encoding="utf-8")
    bundle.expected = "works"


def words_of_the_card(bundle: Copy, rng: random.Random) -> None:
    (bundle.path / "MODEL_CARD.md").write_text("Another text.\n")
    bundle.expected = "works"


def facts_more(bundle: Copy, rng: random.Random) -> None:
    bundle.edit("bundle.json", lambda c: c.update({"my_note": rng.choice([1, None, "x", [1]])}))
    bundle.expected = "either"


def files_beside(bundle: Copy, rng: random.Random) -> None:
    """Not listed, and nobody's concern; pickles and scripts among them."""
    (bundle.path / "notes.txt").write_text("x")
    (bundle.path / "run.py").write_text(f"open({str(bundle.canary / 'run')!r}, 'w')\n")
    (bundle.path / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(bundle.canary / "pickle")))
    bundle.expected, bundle.vouch = "works", rng.choice([True, False])


def modules_of_the_working_folder(bundle: Copy, rng: random.Random) -> None:
    for name in ("numpy", "json", "onnxruntime", "safetensors", "tokenizers", "sitecustomize", "edgedistill"):
        (bundle.path / f"{name}.py").write_text(f"open({str(bundle.canary / name)!r}, 'w').close()\n")
    bundle.cwd, bundle.expected, bundle.vouch = bundle.path, "works", rng.choice([True, False])
