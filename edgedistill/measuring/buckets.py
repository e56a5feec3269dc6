"""One session over files of fixed lengths: every input goes to the smallest that holds it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgedistill.errors import EdgedistillError
from edgedistill.interfaces import Inputs, Session


class Bucketed:
    """Pads to the right and runs; what an output has for the padding is cut off. The padding's work is the candidate's.

    The padding is zeros, under a mask of zeros: which token lies there changes nothing.
    """

    def __init__(self, sessions: Mapping[int, Session]) -> None:
        self._sessions = dict(sorted(sessions.items()))
        self.input_names = next(iter(self._sessions.values())).input_names

    def run(self, inputs: Inputs) -> list[NDArray[np.generic]]:
        """Outputs for one item; those with an axis for tokens have the input's own length.

        Raises:
            EdgedistillError: an input longer than the largest bucket.
        """
        length = inputs[self.input_names[0]].shape[1]
        bucket = next((each for each in self._sessions if each >= length), None)
        if bucket is None:
            largest = max(self._sessions)
            raise EdgedistillError(f"an input of {length} tokens is longer than the largest file, of {largest}")
        padded = {
            name: np.pad(inputs[name], ((0, 0), (0, bucket - length))) if bucket > length else inputs[name]
            for name in self.input_names
        }
        outputs = self._sessions[bucket].run(padded)
        return [each[:, :length] if each.ndim > 2 and each.shape[1] == bucket else each for each in outputs]

    def backend(self) -> dict[str, object]:
        """That of the largest file; all are asked, since each must run where it should."""
        return [session.backend() for session in self._sessions.values()][-1]
