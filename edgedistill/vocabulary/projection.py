"""A teacher's distribution over the tokens of a trimmed vocabulary, exactly.

A teacher with tokens V is a distribution over byte strings. A student with tokens K, a subset of V, wants that
distribution in its own steps: given the trimmed tokens t_1 .. t_j of a text, the probability of the next one. Let r(v)
be the trimmed tokens of teacher token v; a text's trimmed tokens are then r of its teacher tokens, one after the other,
and so

    P(t_1 .. t_j) = sum over c of P(c),    c = v_1 .. v_n with r(v_1) .. r(v_n) beginning with t_1 .. t_j, and not yet
                                           without v_n

over what Phan et al. (2024, "Exact Byte-Level Probabilities from Tokenized Language Models", section 3) call the cover
encodings of a prefix, with pieces where they have bytes. All tokens of c but the last spell a beginning of the text.
Where they are the text's own first i tokens, the teacher's row there says the rest. With

    a_i    = p(v_1) p(v_2 | v_1) .. p(v_i | v_1 .. v_(i-1))       the teacher's probability of its own first i tokens
    m_i(s) = sum of p(v | v_1 .. v_i) over all v with r(v) beginning with the pieces s;  m_i() = 1
    s_i    = the trimmed tokens between own boundary i and place j

that is P(t_1 .. t_j) = sum over i of a_i m_i(s_i), each token that ends within the text counted once: where own token
v_(i+1) ends at a boundary, its a_i p(v_(i+1)) is a_(i+1) m_(i+1)(). The next trimmed token k then has the probability

    P(k | t_1 .. t_j) = sum_i a_i m_i(s_i k)  /  sum_i a_i m_i(s_i)

and this one line is all three cases of a tree: at the first piece of a token, the sum over all tokens that begin so; at
a later piece, the same conditioned on the pieces so far; where own token v may end, the longer tokens that begin with
its pieces mixed with the next position's distribution, by the probabilities of going on and of ending.

*A token that could end where the text's own doesn't* ("walk" in "walking") has a share of the denominator and a next
position of its own, v_1 .. v_i "walk", which the teacher didn't read. With branches it did (`alignment.branched`): the
row of a branch is one more boundary with a = a_i p("walk" | v_1 .. v_i), and the formula holds as it is. The
distribution at a place then depends on the text before it alone. Without branches the share is `unknown`: the rest is
conditioned on not ending there, and where it is more than `most_unknown` the place is masked. The student still meets
the same beginning where a text does end there, and its row there says how likely it was to go on.

*What remains inexact.* Encodings that depart from the text's own twice: a token that ends within the text after a
branch is `unknown` too, in mean 0.1% where 8,192 of SmolLM2's 49,152 tokens read books. (A teacher that always writes
as its tokenizer does hardly departs twice; without branches those that departed once are missing from the places after
it as well.) And a trimmed token that spans an own boundary, since a merge dropped inside one token may free its last
piece for the next one: there r of the tokens isn't the text's, the place is masked, and the boundary is counted
(`Alignment.lost`).

*It never costs the teacher more bits than its own text*: the numerator at the text's own k is the next denominator, so
the product telescopes to at least the last a_i. With K = V every m_i of a longer s is zero, and what remains is
P(k) = p(k | v_1 .. v_i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.vocabulary.alignment import Alignment
from edgedistill.vocabulary.re_encoding import ReEncoding

if TYPE_CHECKING:
    import torch

LEAST = -87.0
"""Logarithm for a probability of zero: about that of float32's smallest number, so that losses stay finite."""
_AT_ONCE = 2**22
"""Number of probabilities that fit a CPU cache."""
_LEAST_DOUBLE = 1e-300
_LEAST_STEP = -1000.0  # for a text that is impossible to the teacher, so that no position is undefined


@dataclass(frozen=True, eq=False)
class Projection:
    """Distributions at M positions of a text."""

    log_p: torch.Tensor
    """(M, K) float32: the next-token distribution after each trimmed token; rows sum to 1."""
    mask: torch.Tensor
    """(M,) which rows are the teacher's; the others must not be used in a loss."""
    unknown: torch.Tensor
    """(M,) float32: the probability of continuations that were not evaluated, which the row leaves out."""
    log_known: torch.Tensor
    """(M,) float64: the logarithm of 1 - `unknown`, exact near 1: the row's overestimate if taken as the full
    distribution. To be added when computing the bits of a text."""


def project(
    log_p: torch.Tensor, alignment: Alignment, re_encoding: ReEncoding, *, most_unknown: float = 0.01
) -> Projection:
    """The teacher's distributions in trimmed tokens.

    Sums over rows are in float64, on the device of `log_p`.

    Args:
        log_p: (N + B, W) natural log-probabilities: row n after token n of `alignment.own`, then one row per branch. W
            may exceed the number of tokens: other columns are dropped, and the rest normalised.
        most_unknown: rows that leave out more are masked.

    Raises:
        ValueError: wrong number of rows, or fewer columns than tokens.
    """
    import torch

    expected = len(alignment.start)
    if log_p.ndim != 2 or len(log_p) != expected or log_p.shape[1] < re_encoding.tokens:
        raise ValueError(
            f"log-probabilities of shape {tuple(log_p.shape)}, expected {expected} rows of at least "
            f"{re_encoding.tokens} tokens"
        )
    log_p = _of_tokens(log_p, re_encoding)
    begun = _begun(log_p, alignment)
    going, to = _going_on(log_p, begun, alignment, re_encoding)
    ends = _tensor(alignment.ended.row, log_p)
    ended_at = _tensor(alignment.ended.place, log_p)
    ended = begun[ends] + log_p[ends, _tensor(re_encoding.tree.token[alignment.ended.node], log_p)].double()
    start = _tensor(alignment.start, log_p)
    rows = torch.nonzero(start >= 0).flatten()
    scale = torch.full((alignment.rows,), -torch.inf, dtype=torch.float64, device=log_p.device)
    for at, values in ((start[rows], begun[rows]), (to[0], going), (ended_at, ended)):
        scale.scatter_reduce_(0, at, values, "amax")  # to avoid underflow and overflow within a row
    scale.masked_fill_(scale.isneginf(), 0)
    total = torch.zeros(alignment.rows, len(re_encoding.kept), dtype=torch.float64, device=log_p.device)
    first = _tensor(re_encoding.first_pieces, log_p)
    for part in rows.split(max(1, _AT_ONCE // re_encoding.tokens)):
        weight = (begun[part] - scale[start[part]]).exp()[:, None]
        p = log_p[part].float().exp_()  # tokens with a common beginning are few enough to be summed in 32 bits
        of_pieces = p.new_zeros(len(part), total.shape[1]).index_add_(1, first, p)
        total.index_add_(0, start[part], of_pieces.double().mul_(weight))
    total.index_put_(to, (going - scale[to[0]]).exp(), accumulate=True)
    left_out = torch.zeros_like(scale).index_add_(0, ended_at, (ended - scale[ended_at]).exp())
    known = total.sum(1)
    spoken = known > 0
    unknown = torch.where(spoken, left_out / (known + left_out), 1.0)
    log_known = known.log() - (known + left_out).log()
    total[~spoken] = 1 / total.shape[1]
    known[~spoken] = 1
    result = (total.clamp_(min=_LEAST_DOUBLE).log_() - known.log()[:, None]).float().clamp_(min=LEAST)
    mask = torch.from_numpy(alignment.mask).to(log_p.device) & (unknown <= most_unknown)
    return Projection(result, mask, unknown.float(), log_known.masked_fill_(~spoken, -torch.inf))


def _of_tokens(log_p: torch.Tensor, re_encoding: ReEncoding) -> torch.Tensor:
    """(N + B, V) without columns that are not tokens."""
    import torch

    real = torch.from_numpy(re_encoding.real).to(log_p.device)
    if log_p.shape[1] == re_encoding.tokens and bool(real.all()):
        return log_p
    return log_p[:, : re_encoding.tokens].masked_fill(~real, -torch.inf).log_softmax(1)


def _begun(log_p: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """(N + B,) log a_i of every row: of its tokens so far, except the first."""
    import torch

    own, count = _tensor(alignment.own, log_p), len(alignment.own)
    steps = log_p[torch.arange(count - 1, device=log_p.device), own[1:]].double().clamp(min=_LEAST_STEP)
    text = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    after, token = _tensor(alignment.branch_after, log_p), _tensor(alignment.branch_token, log_p)
    return torch.cat([text, text[after] + log_p[after, token].double()])


def _going_on(
    log_p: torch.Tensor, begun: torch.Tensor, alignment: Alignment, re_encoding: ReEncoding
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Log a_i p(v) of every token that a reading may continue to, with the position and piece it counts for."""
    tree, readings = re_encoding.tree, alignment.readings
    first, last = tree.longer(readings.node)
    counts = last - first
    tokens = tree.order[np.repeat(first - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))]
    pieces = re_encoding.pieces[re_encoding.offsets[tokens] + np.repeat(readings.depth, counts)]
    row, place = (_tensor(np.repeat(indices, counts), log_p) for indices in (readings.row, readings.place))
    return begun[row] + log_p[row, _tensor(tokens, log_p)].double(), (place, _tensor(pieces, log_p))


def _tensor(values: Integers, like: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, np.int64)).to(like.device)
