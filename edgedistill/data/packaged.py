"""Data sets bundled with an installed library, without a download."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edgedistill.errors import UserError

INSTALL = 'pip install "edgedistill[digits]"'


def fingerprint(where: str, name: str) -> str:
    """Fingerprint from the library's version.

    Raises:
        UserError: it is not installed.
    """
    try:
        return f"bundled:{name}:scikit-learn {version('scikit-learn')}"
    except PackageNotFoundError:
        raise UserError(f"{where}: 'bundled: {name}' comes with scikit-learn; install it with: {INSTALL}") from None


def write(name: str, folder: Path) -> Path:
    """Write the data set as parquet, in an order such that any slice is a fair sample.

    `digits`: scikit-learn's 1,797 handwritten digits of 8 x 8 pixels from 0 to 16 (UCI Optical Recognition of
    Handwritten Digits, test part; Alpaydin & Kaynak 1998), columns `image` (64 whole numbers) and `label`.
    """
    from datasets import Dataset
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = found.images.reshape(len(found.target), -1).astype(np.int64)[order]
    rows = Dataset.from_dict({"image": images.tolist(), "label": [str(label) for label in found.target[order]]})
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / f"{name}.parquet")
    return folder / f"{name}.parquet"
