"""What `bench.language_training` computes from timings and losses, and that its arms see the same batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench.language_training import Arm, apart, goals, row, sequences
from bench.peers.edgedistill_soft_targets import items_of, order
from bench.peers.language_work import work
from bench.peers.step_job import Stepped
from edgedistill.contracts import registry
from edgedistill.training.loop import LengthBuckets
from edgedistill.training.seeds import derive


def llama(layers: int, width: int) -> LlamaForCausalLM:
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 2 * width, "vocab_size": 48}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, attn_implementation="eager")
    return LlamaForCausalLM(config)


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    student, teacher, length = llama(1, 32), llama(2, 64), 16
    tokens = torch.zeros(2, length, dtype=torch.int64)
    counted = []
    for model, backward in ((student, True), (teacher, False)):
        with FlopCounterMode(display=False) as counter:
            loss = model(input_ids=tokens).logits.sum()
            if backward:
                loss.backward()
        counted.append(counter.get_total_flops() / tokens.numel())
    found = work(student, teacher, length)
    # torch counts all of attention's products, of which causality needs half
    whole = [4.0 * layers * width * length for layers, width in ((1, 32), (2, 64))]
    assert found.student == pytest.approx(counted[0] - 3 * whole[0] / 2)
    assert found.teacher_body + found.teacher_head == pytest.approx(counted[1] - whole[1] / 2)
    assert found.teacher_head == 2 * 48 * 64
    assert found.live - found.recorded == found.teacher_body


def test_the_file_has_the_sequences_in_the_order_of_our_loop() -> None:
    count, batch, seed = 120, 2, 3
    sampler = LengthBuckets(np.ones(count, np.int64), batch, derive(seed, "order"), count // batch)
    assert [number for numbers in sampler for number in numbers] == order(count, batch, seed).tolist()


def test_every_token_but_the_first_is_predicted() -> None:
    items = items_of(np.array([[5, 6, 7], [8, 9, 1]]))
    task = registry.task("text-generation")
    assert task.data.references(items).values["token"].tolist() == [6, 7, 9, 1]
    assert items.batch([1])["input_ids"].tolist() == [[8, 9, 1]]


def test_texts_are_cut_into_sequences_of_one_length() -> None:
    class Letters:
        eos_token_id = 0

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [ord(letter) - 96 for letter in text]}

    assert sequences(iter(["abc", "de", "zz"]), Letters(), 2, 3).tolist() == [[1, 2, 3], [0, 4, 5]]
    with pytest.raises(SystemExit, match="has 4 tokens, expected 6"):
        sequences(iter(["abc"]), Letters(), 2, 3)


def arm(name: str, seconds: list[float], losses: list[float], recording: float = 0.0, peak: int = 1000) -> Arm:
    return Arm(name, Stepped(seconds, losses, peak, recording), tokens_a_turn=100, operations=2.0)


def test_the_first_turn_is_left_out_and_ratios_are_of_turns_that_follow_each_other() -> None:
    losses = [4.0] * 20
    trl, own = arm("TRL", [9.0, 2.0, 1.0, 2.0], losses), arm("ours", [9.0, 1.0, 1.0, 0.5], losses)
    found = row(own, trl, trained=400, peak=1000.0)
    assert (found["tokens/s"], found["ratio to TRL"], found["ratio, least and most"]) == (100, 2.0, [1.0, 4.0])
    assert found["MFU"] == pytest.approx(100 * 2.0 / 1000.0)
    assert found["tokens/s, 3 passes"] == 100


def test_recording_counts_a_third_for_each_of_three_passes() -> None:
    own = arm("ours", [9.0, 1.0], [4.0] * 20, recording=12.0)
    assert own.of_passes(400) == pytest.approx(3 * 400 / (3 * 400 / 100 + 12.0))


def test_curves_are_compared_smoothed() -> None:
    one = [4.0] * 30
    other = [4.0] * 15 + [4.4] + [4.0] * 14
    assert apart(arm("a", [1.0, 1.0], other), arm("b", [1.0, 1.0], one)) == pytest.approx(0.01)


def test_goals_ask_for_the_fastest_of_the_peers_too() -> None:
    losses = [4.0] * 20
    arms = {
        "trl": arm("TRL", [1.0, 2.0], losses),
        "trl-chunked": arm("chunked", [1.0, 0.5], losses, peak=10),
        "live": arm("live", [1.0, 1.0], losses),
    }
    found = {goal.goal: goal.met for goal in goals(arms, 400)}
    assert found["live: at least as fast as TRL"]
    assert not found["live: at least as fast as chunked"]
    assert found["live: no more memory than TRL"]
    assert found["live: the curve of TRL within 1%"]
