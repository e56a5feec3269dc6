"""Decoding by a graph of numpy that keeps its cache as ONNX files do, and whose logits tell of every real token."""

from __future__ import annotations

import numpy as np
import pytest

from edgedistill.contracts.driver import Port
from edgedistill.device.decoding import CachedDecoder, decoder_of, scored_alone
from edgedistill.device.generation import ENDED, generate, generate_batch
from edgedistill.device.sampling import Sampling
from edgedistill.errors import EdgedistillError, UserError

WORDS = 11
ANY = (None, None)


class Adding:
    """The next token is the sum of all real tokens so far, and of the position, modulo the vocabulary."""

    def __init__(self):
        self.inputs = {name: Port("int64", ANY) for name in ("input_ids", "attention_mask", "position_ids")}
        self.inputs["past_key_values.0.key"] = Port("float32", (None, 1, None, 1))
        self.outputs = {
            "logits": Port("float32", (None, None, WORDS)),
            "present.0.key": Port("float32", (None, 1, None, 1)),
        }
        self.asked = []

    def run(self, feeds):
        tokens, mask, past = feeds["input_ids"], feeds["attention_mask"], feeds["past_key_values.0.key"]
        assert mask.shape[1] == past.shape[2] + tokens.shape[1]
        self.asked.append(tokens.shape[1])
        kept = np.concatenate([past, tokens[:, None, :, None].astype(np.float32)], axis=2)
        sums = np.cumsum(kept[:, 0, :, 0] * mask, axis=1)[:, -tokens.shape[1] :] + feeds["position_ids"]
        return {"logits": 9.0 * np.eye(WORDS)[sums.astype(int) % WORDS], "present.0.key": kept}

    def backend(self):
        return {}


def expected(prompt, count):
    said = list(prompt)
    for _ in range(count):
        said.append((sum(said) + len(said) - 1) % WORDS)
    return said[len(prompt) :]


PROMPTS = [[3, 4], [5], [1, 2, 3, 4, 10]]


def test_tokens_follow_one_by_one_from_the_cache():
    graph = Adding()
    assert list(generate(CachedDecoder(graph), PROMPTS[2], 9)) == expected(PROMPTS[2], 9)
    assert graph.asked == [5, *[1] * 8]


def test_they_come_as_soon_as_they_are_known():
    graph = Adding()
    said = generate(CachedDecoder(graph), PROMPTS[0], 1000)
    assert next(said) == expected(PROMPTS[0], 1)[0]
    assert len(graph.asked) == 1


def test_a_batch_is_padded_and_says_what_each_text_says_alone():
    found = np.array(list(generate_batch(CachedDecoder(Adding()), PROMPTS, 9))).T
    assert found.tolist() == [expected(prompt, 9) for prompt in PROMPTS]


def test_texts_end_at_their_own_ends():
    said = [expected(prompt, 9) for prompt in PROMPTS]
    end = said[1][2]
    found = np.array(list(generate_batch(CachedDecoder(Adding()), PROMPTS, 9, [end]))).T
    for row, whole in zip(found.tolist(), said, strict=True):
        length = whole.index(end) if end in whole else 9
        assert row[:length] == whole[:length]
        assert set(row[length:]) <= {ENDED}
    assert list(generate(CachedDecoder(Adding()), PROMPTS[1], 9, [end])) == said[1][: said[1].index(end)]


def test_what_is_known_of_a_text_is_not_asked_again():
    graph = Adding()
    decoder = CachedDecoder(graph)
    said = list(generate(decoder, PROMPTS[0], 4))
    graph.asked.clear()
    longer = [*PROMPTS[0], *said, 7, 8]
    assert list(generate(decoder, longer, 3)) == expected(longer, 3)
    assert graph.asked == [3, 1, 1]  # the last token said was never fed, and two are new
    graph.asked.clear()
    other = [*PROMPTS[0], (said[0] + 1) % WORDS, 2]
    assert list(generate(decoder, other, 2)) == expected(other, 2)
    assert graph.asked == [2, 1]
    graph.asked.clear()
    assert list(generate(decoder, other, 1)) == expected(other, 1)
    assert graph.asked == [1]


@pytest.mark.parametrize("prompts", [[], [[]], [[1], []]])
def test_a_prompt_without_a_token_is_refused(prompts):
    with pytest.raises(UserError, match="a prompt has no tokens, expected at least one"):
        list(generate_batch(CachedDecoder(Adding()), prompts, 3))


def test_no_token_is_asked_for_where_none_is_wanted():
    graph = Adding()
    assert list(generate(CachedDecoder(graph), [1], 0)) == []
    assert graph.asked == []


def test_a_file_without_a_cache_is_refused():
    graph = Adding()
    del graph.outputs["present.0.key"]
    with pytest.raises(EdgedistillError, match="the file has no cache to continue from: it lacks present.0.key"):
        decoder_of(graph)
    del graph.inputs["past_key_values.0.key"]
    with pytest.raises(EdgedistillError, match=r"it lacks past_key_values\.0\.key"):
        decoder_of(graph)


def test_a_runtime_that_keeps_the_cache_is_asked_for_its_own():
    class Keeping(Adding):
        longest = 8

        def decoder(self):
            return "its own"

    assert decoder_of(Keeping()) == "its own"


def test_whole_texts_by_a_decoder_of_one_text_have_logits_at_their_real_tokens():
    tokens, mask = np.array([[0, 0, 5, 6], [1, 2, 3, 4], [7, 8, 0, 0]]), np.array([[0, 0, 1, 1], [1] * 4, [1, 1, 0, 0]])
    found = scored_alone(CachedDecoder(Adding()), {"input_ids": tokens, "attention_mask": mask})["logits"]
    together = CachedDecoder(Adding()).advance(tokens, mask.astype(bool))
    np.testing.assert_array_equal(found[mask > 0], together[mask > 0])
    assert not found[mask == 0].any()


def test_the_same_seed_says_the_same_and_another_something_else():
    def said(seed):
        sampling = Sampling(temperature=20.0, seed=seed)
        return list(generate(CachedDecoder(Adding()), [3], 20, sampling=sampling))

    assert said(1) == said(1)
    assert said(1) != said(2)


def test_what_a_text_says_does_not_depend_on_those_beside_it():
    sampling = Sampling(temperature=20.0, seed=5)
    alone = list(generate(CachedDecoder(Adding()), PROMPTS[0], 12, sampling=sampling))
    together = np.array(list(generate_batch(CachedDecoder(Adding()), PROMPTS, 12, sampling=sampling))).T
    assert together[0].tolist() == alone
