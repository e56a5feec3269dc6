"""Text generation with a language model, token by token. Numpy only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from edgedistill.arrays import Floats, Integers
from edgedistill.device.decoding import Decoder
from edgedistill.device.sampling import Chooser, Sampling
from edgedistill.errors import UserError

ENDED = -1
"""Placeholder token for a text that has ended."""
GREEDY = Sampling()


def generate(
    decoder: Decoder, prompt: Sequence[int], limit: int, ends: Collection[int] = (), sampling: Sampling = GREEDY
) -> Iterator[int]:
    """Yield new tokens one at a time.

    The cached prefix is not recomputed: the second message of a chat only costs its own tokens.

    Args:
        prompt: at least one token.
        limit: maximum of new tokens.
        ends: end-of-text tokens, which are not yielded.
    """
    for chosen in generate_batch(decoder, [prompt], limit, ends, sampling):
        yield int(chosen[0])


def generate_batch(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    limit: int,
    ends: Collection[int] = (),
    sampling: Sampling = GREEDY,
) -> Iterator[Integers]:
    """(B,) the next token of every text, `ENDED` for finished ones, until all are finished or `limit` is reached.
    Prompts of different lengths are padded on the left.

    Raises:
        UserError: an empty prompt.
    """
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise UserError("a prompt has no tokens, expected at least one")
    if limit < 1:
        return
    chooser, ended = Chooser(sampling, len(prompts)), np.zeros(len(prompts), np.bool_)
    logits = _read(decoder, prompts)
    for count in range(1, limit + 1):
        chosen = chooser.choose(logits)
        ended |= np.isin(chosen, list(ends))
        if ended.all():
            return
        yield np.where(ended, ENDED, chosen)
        if count < limit:
            real = ~ended[:, None] if ended.any() else None
            logits = decoder.advance(np.where(ended, 0, chosen)[:, None], real)[:, -1]


def greedy_with_leads(
    decoder: Decoder, prompt: Sequence[int], limit: int, ends: Collection[int]
) -> Iterator[tuple[int, float]]:
    """The tokens of a greedy continuation, each with the distance between its logit and the next largest: by how much
    another processor's rounding may move them before it chooses differently.

    Args:
        prompt, limit, ends: as for `generate`.
    """
    logits = _read(decoder, [prompt])[0]
    for count in range(1, limit + 1):
        second, first = np.argpartition(logits, -2)[-2:]
        if int(first) in ends:
            return
        yield int(first), float(logits[first] - logits[second])
        if count < limit:
            logits = _next(decoder, int(first))


def likeliest_tokens(decoder: Decoder, prompt: Sequence[int], tokens: Sequence[int]) -> Iterator[int]:
    """The most likely token in the place of each of these, which follow the prompt one at a time, as if generated."""
    chooser, logits = Chooser(GREEDY, 1), _read(decoder, [prompt])[0]
    for count, token in enumerate(tokens, 1):
        yield int(chooser.choose(logits[None])[0])
        if count < len(tokens):
            logits = _next(decoder, token)


def _next(decoder: Decoder, token: int) -> Floats:
    """(V,) logits after one more token of a single text."""
    return np.asarray(decoder.advance(np.array([[token]], np.int64))[0, -1])


def _read(decoder: Decoder, prompts: Sequence[Sequence[int]]) -> Floats:
    """(B, V) logits of the next tokens after the prompts."""
    if len(prompts) == 1:
        prompt = np.array(prompts[0], np.int64)
        decoder.rewind(known := _known(decoder, prompt))
        return np.asarray(decoder.advance(prompt[None, known:])[:, -1])
    decoder.rewind(0)
    width = max(map(len, prompts))
    tokens = np.stack([np.pad(np.array(ids, np.int64), (width - len(ids), 0)) for ids in prompts])
    real = np.arange(width) >= width - np.array([[len(ids)] for ids in prompts])
    return np.asarray(decoder.advance(tokens, real)[:, -1])


def _known(decoder: Decoder, prompt: Integers) -> int:
    """Number of the prompt's tokens in the cache; the last is always recomputed, since its logits are not cached."""
    kept = decoder.tokens
    if len(kept) != 1:
        return 0
    length = min(kept.shape[1], len(prompt) - 1)
    same = kept[0, :length] == prompt[:length]
    return length if same.all() else int(same.argmin())
