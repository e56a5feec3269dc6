"""Checks that a file tokenizes texts as its model's tokenizer does: with the tokenizer that it contains, or with
`tokenizer.json` alone, as a client would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import UserError
from edgedistill.store.records.files import TextsRead
from edgedistill.vocabulary.agreement import PROBES
from edgedistill.vocabulary.probe_texts import probe_texts, single_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgedistill.data.prepared import PreparedData
    from edgedistill.measuring.device_model import Opened

BESIDE = "tokenizer.json"
ITS_OWN = "its own tokenizer"
_SHOWN = 8
_PLAIN = tuple(text for text in PROBES if text.isascii() and text.isprintable())


def texts_read(opened: Opened, data: PreparedData, texts: Sequence[str]) -> TextsRead:
    """Compare token ids of 10,000 strings, including these texts, and of every single byte.

    Raises:
        EdgedistillError: the file cannot tokenize them.
    """
    tokenizer = data.load_tokenizer()
    assert tokenizer is not None, "text tasks have a tokenizer"
    special = [token for token in tokenizer.all_special_tokens if token]
    # Tokens that decode to something else are not usable as text.
    strings = [text for text in probe_texts(texts) if not any(token in text for token in special)]
    asked = [*strings, *single_bytes()]
    encoded = tokenizer(asked, add_special_tokens=False, return_attention_mask=False, verbose=False)
    wanted = encoded[tokenizer.model_input_names[0]]
    found = opened.tokens_of(asked)
    by = BESIDE if found is None else ITS_OWN
    if found is None:
        found = _beside(data, asked)
    other = [number for number, pair in enumerate(zip(wanted, found, strict=True)) if list(pair[0]) != pair[1]]
    occurring = {number for number in other if any(asked[number] in text for text in texts)}
    order = sorted(other, key=lambda number: (number not in occurring, len(asked[number])))
    return TextsRead(
        by=by,
        texts=len(asked),
        otherwise=len(other),
        bytes_otherwise=sum(number >= len(strings) for number in other),
        in_data=len(occurring),
        shown=tuple(f"{asked[number]!r:.60}" for number in order[:_SHOWN]),
    )


def refuse_other_tokenizer(opened: Opened, tokenizer: PreTrainedTokenizerBase, folder: Path, file: str) -> None:
    """Check that a file with a tokenizer of its own reads plain texts as the one in a folder does; runtimes may differ
    on rare characters.

    Args:
        folder: of the tokenizer.
        file: the command and the file, for the message.

    Raises:
        UserError: it reads one otherwise.
        EdgedistillError: it cannot tokenize them.
    """
    found = opened.tokens_of(_PLAIN)
    if found is None:
        return
    wanted = tokenizer(list(_PLAIN), add_special_tokens=False, return_attention_mask=False, verbose=False)
    pairs = zip(_PLAIN, wanted[tokenizer.model_input_names[0]], found, strict=True)
    other = next((text for text, one, another in pairs if list(one) != another), None)
    if other is not None:
        raise UserError(
            f"{file} contains another tokenizer than '{folder}' (the text {other[:40]!r} is encoded differently); "
            "expected the folder of the file's own tokenizer"
        )


def _beside(data: PreparedData, texts: Sequence[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(data.tokenizer / BESIDE))
    plain.no_truncation()
    plain.no_padding()
    return [encoding.ids for encoding in plain.encode_batch(list(texts), add_special_tokens=False)]
