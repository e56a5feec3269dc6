"""Checks that a file tokenizes texts as its model's tokenizer does: with the tokenizer that it contains, or with
`tokenizer.json` alone, as a client would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedistill.store.records.files import TextsRead
from edgedistill.vocabulary.probe_texts import probe_texts, single_bytes

if TYPE_CHECKING:
    from edgedistill.data.prepared import PreparedData
    from edgedistill.measuring.device_model import Opened

BESIDE = "tokenizer.json"
ITS_OWN = "its own tokenizer"
_SHOWN = 8


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


def _beside(data: PreparedData, texts: Sequence[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(data.tokenizer / BESIDE))
    plain.no_truncation()
    plain.no_padding()
    return [encoding.ids for encoding in plain.encode_batch(list(texts), add_special_tokens=False)]
