"""A torch model asked token by token says what it says at once."""

from __future__ import annotations

import numpy as np
import torch
from language_models import greedy_of_torch, tiny

from edgedistill.device.decoding import Decoder
from edgedistill.device.generation import generate, generate_batch
from edgedistill.tasks._language_torch import TorchDecoder

PROMPTS = [[1, 5, 9, 30], [1, 40]]


def test_continuations_are_those_of_its_library_with_one_decoder_for_all():
    model = tiny()
    decoder = TorchDecoder(model)
    assert isinstance(decoder, Decoder)
    for prompt in (PROMPTS[0], [*PROMPTS[0][:3], 50, 51], PROMPTS[1]):
        assert list(generate(decoder, prompt, 20)) == greedy_of_torch(model, prompt, 20)


def test_texts_padded_to_a_batch_go_on_as_alone():
    model = tiny()
    together = np.stack(list(generate_batch(TorchDecoder(model), PROMPTS, 12)), axis=1)
    assert together.tolist() == [greedy_of_torch(model, prompt, 12) for prompt in PROMPTS]


def test_what_is_kept_changes_nothing():
    model, tokens = tiny(), np.arange(3, 23)[None]
    decoder = TorchDecoder(model)
    with torch.no_grad():
        at_once = model(torch.from_numpy(tokens)).logits.numpy()
    np.testing.assert_allclose(decoder.advance(tokens), at_once, atol=1e-4)
    decoder.rewind(7)
    assert decoder.tokens.tolist() == tokens[:, :7].tolist()
    np.testing.assert_allclose(decoder.advance(tokens[:, 7:]), at_once[:, 7:], atol=1e-4)
    decoder.rewind(0)
    np.testing.assert_allclose(decoder.advance(tokens[:, :4]), at_once[:, :4], atol=1e-4)
