"""The driver of language models' files. Numpy only."""

from __future__ import annotations

from edgedistill.contracts.driver import Driver
from edgedistill.tasks._language_device import LOGITS, MODEL, answer, decoder, phases
from edgedistill.tasks._language_probe import probe

DRIVER = Driver(
    components=(MODEL,),
    outputs={MODEL: (LOGITS,)},
    answer=answer,
    phases=phases,
    token_axes={LOGITS: 1},
    probe=probe,
    decoder=decoder,
)
