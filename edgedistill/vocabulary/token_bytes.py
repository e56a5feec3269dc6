"""The bytes of each token of a BPE tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgedistill.errors import UserError

Tokenizer = Mapping[str, object]
"""The content of a `tokenizer.json`."""

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""The byte tokens of a BPE with byte fallback (SentencePiece)."""
_SPACE = "▁"


def token_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """Id -> bytes of every token: the concatenated bytes of a text's tokens are the normalized text. An added token
    stands for its own name.

    Raises:
        UserError: neither byte-level BPE (GPT-2) nor BPE with byte fallback (Llama 2).
    """
    model = tokenizer["model"]
    assert isinstance(model, dict)
    if is_byte_level(tokenizer):
        characters = byte_characters()
        strange = next((token for token in _ordinary(tokenizer, model["vocab"]) if set(token) - set(characters)), None)
        if strange is not None:
            raise UserError(
                f"token '{strange}' of a byte-level BPE is not a sequence of bytes; expected an added token"
            )
        spelled = {
            token: bytes(characters[character] for character in token) for token in _ordinary(tokenizer, model["vocab"])
        }
    elif model.get("type") == "BPE" and model.get("byte_fallback"):
        fallback = {token: bytes([byte]) for byte, token in enumerate(BYTES)}
        spelled = {
            token: fallback.get(token, token.replace(_SPACE, " ").encode())
            for token in _ordinary(tokenizer, model["vocab"])
        }
    else:
        raise UserError(
            f"the bytes of tokens are known only for byte-level BPE and BPE with byte fallback; this tokenizer is "
            f"{model.get('type')} with neither"
        )
    found = {int(model["vocab"][token]): content for token, content in spelled.items()}
    return found | {number: name.encode() for name, number in added_tokens(tokenizer).items()}


def is_byte_level(tokenizer: Tokenizer) -> bool:
    """Whether it is byte-level BPE: every token is a sequence of bytes, written as `byte_characters`."""
    model = tokenizer["model"]
    assert isinstance(model, dict)
    return model.get("type") == "BPE" and "ByteLevel" in _kinds(tokenizer.get("decoder"))


def missing_bytes(tokenizer: Tokenizer) -> list[str]:
    """The tokens of single bytes that a byte-level BPE lacks, which it silently leaves out of texts: SmolLM2's lacks
    21, six control characters and bytes that only unassigned characters contain. None for another tokenizer, or one
    with an unknown token."""
    model = tokenizer["model"]
    assert isinstance(model, dict)
    if not is_byte_level(tokenizer) or model.get("unk_token"):
        return []
    return [
        token for token, _ in sorted(byte_characters().items(), key=lambda item: item[1]) if token not in model["vocab"]
    ]


def added_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    """Name -> id of special tokens and other added tokens, which are matched before the algorithm runs."""
    entries = tokenizer.get("added_tokens") or []
    assert isinstance(entries, list)
    return {str(entry["content"]): int(entry["id"]) for entry in entries}


def byte_characters() -> dict[str, int]:
    """Character -> byte, in the alphabet of byte-level BPE (GPT-2): printable Latin-1 bytes map to themselves, the
    others to characters from 256 on.

    >>> byte_characters()["A"], byte_characters()["Ġ"]
    (65, 32)
    """
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _ordinary(tokenizer: Tokenizer, vocabulary: Mapping[str, int]) -> list[str]:
    added = added_tokens(tokenizer)
    return [token for token in vocabulary if token not in added]


def _kinds(part: object) -> Iterator[str]:
    """The types of a tokenizer component, with sequences flattened."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for inner in part.get("decoders", []):
            yield from _kinds(inner)
