"""A teacher that reads its own tokens, recorded in those of a student: every decision, one by one, asked again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_decoders
import torch
from byte_pairs import TEXTS, pair
from datasets import Dataset
from language_models import family, tiny
from transformers import PreTrainedTokenizerFast

from edgedistill.contracts import registry
from edgedistill.contracts.task import Encoder
from edgedistill.errors import UserError
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.projected import (
    SPANNED,
    TAUGHT,
    TAUGHT_SO,
    UNKNOWN,
    Projector,
    counted,
    re_encoding_of,
    taught,
)
from edgedistill.signals.recorded import Shards
from edgedistill.signals.recording import DistributionRecorder, record_ranges
from edgedistill.store.progress import Progress
from edgedistill.vocabulary.alignment import align
from edgedistill.vocabulary.passages import Texts
from edgedistill.vocabulary.projection import project

TASK = registry.task("text-generation")
KEPT, WINDOW = 400, 12
TEXT = {"text": [" ".join(TEXTS[i : i + 3]) for i in range(0, 15, 3)]}
REPLIES = {"prompt": TEXT["text"][:4], "completion": [" " + text for text in TEXT["text"][1:]]}


def encoder(tokenizer, rows) -> Encoder:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>")
    spec = registry.task_as("text-generation", "bits_per_byte", {})
    return Encoder({name: name for name in rows}, fast, {}, WINDOW, spec)


@pytest.fixture(scope="module")
def teacher():
    return tiny(vocab_size=720, bos_token_id=None, eos_token_id=None, initializer_range=0.2)


def projector_of(teacher, rows, size: int | None = KEPT) -> Projector:
    tokenizers = pair(size)
    own, trimmed = (encoder(tokenizer, rows) for tokenizer in (tokenizers.whole, tokenizers.smaller))
    return Projector(teacher, TASK, Dataset.from_dict(rows), own, trimmed, tokenizers.re_encoding)


@pytest.fixture(scope="module")
def projector(teacher):
    return projector_of(teacher, TEXT)


FAMILIES = {"gpt2": {"n_positions": 128}, "qwen3": {}, "gemma": {}, "gemma3_text": {"sliding_window": 128}}
"""By what their attention, positions, norms and embeddings differ in; texts are shorter than windows of attention."""


def family_projector(family: str, size: int | None) -> Projector:
    """A random teacher of a family, onto `size` of its tokens; None: all."""
    more = {
        "vocab_size": 720,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    teacher = tiny_decoders.tiny(family, **more, **FAMILIES[family])
    return projector_of(teacher, TEXT, size)


def recorded(projector, folder, **form):
    """The shards of all items."""
    items = TASK.data.encode(projector.rows[:], projector.trimmed)
    counts = TASK.data.references(items).counts(len(items))
    recorder = DistributionRecorder(projector.model, TASK, Progress(), "", **form)

    def write(first, last, file, which):
        examples = np.unique(items.example[first:last])
        skipped = first - int(np.searchsorted(items.example, examples[0]))
        recorder.write_projected(projector, projector.windows(examples, skipped, last - first), file, which)

    return record_ranges(counts, "logits", folder, write)


def one_by_one(projector):
    """(log-probabilities, whether known) of every decision, the teacher asked about every row by itself."""
    re_encoding, model = projector.re_encoding, projector.model
    own, trimmed = (TASK.data.sequences(projector.rows[:], encoder) for encoder in (projector.own, projector.trimmed))

    def says(context) -> torch.Tensor:
        with torch.no_grad():
            return model(torch.tensor([context])).logits[0, -1, : re_encoding.tokens].log_softmax(0)

    for item, example in enumerate(trimmed.example):
        after = trimmed.after[trimmed.item == item]
        texts = Texts(re_encoding, own.of_example(example), trimmed.of_example(example))
        passage = texts.passage(int(trimmed.first[item]), int(after[-1]) + 1)
        found = align(re_encoding, passage.own, passage.trimmed, branches=True)
        read = passage.own.tolist()
        contexts = [read[: n + 1] for n in range(len(read))]
        contexts += [[*read[: n + 1], int(v)] for n, v in zip(found.branch_after, found.branch_token, strict=True)]
        said = project(torch.stack([says(context) for context in contexts]), found, re_encoding)
        for place in after - trimmed.first[item] + passage.before:
            yield said.log_p[place], bool(said.mask[place])


def test_states_are_computed_in_bf16_where_asked(projector, tmp_path):
    values = [
        Shards.of(recorded(projector, tmp_path / str(bf16), bf16=bf16)).every().astype(float) for bf16 in (False, True)
    ]
    difference = np.abs(values[1] - values[0])[np.isfinite(values[0])]
    assert 1e-3 < difference.max() < 0.5


SIGHTED: dict[str, dict[str, object]] = {
    "llama": {},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 3, "head_dim": 8},
    "gemma2": {"layer_types": ["full_attention", "sliding_attention"], "sliding_window": 3, "head_dim": 8}
    | {"final_logit_softcapping": 1.0},
    "mistral": {"sliding_window": 3},
}
"""Teachers whose layers see everything, or a few tokens only; one whose logits are bounded."""


@pytest.mark.parametrize("kind", SIGHTED)
def test_every_decision_is_taught_by_the_teachers_own_reading_of_its_window(projector, tmp_path, kind):
    sizes = projector.model.config.to_dict()
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    same = {name: sizes[name] for name in (*names, "vocab_size", "initializer_range")}
    projector = replace(projector, model=family(kind, **same, **SIGHTED[kind]))
    files = recorded(projector, tmp_path)
    values, why = Shards.of(files).every(), Shards.of(files, TAUGHT).every()
    expected = list(one_by_one(projector))
    assert len(values) == len(expected)
    assert [reason == TAUGHT_SO for reason in why] == [known for _, known in expected]
    np.testing.assert_allclose(values, torch.stack([log_p for log_p, _ in expected]).numpy(), atol=2e-3)
    facts = counted(files)
    assert (facts.decisions, facts.untaught) == (len(why), int((~taught(files)).sum()))
    assert (facts.spanned, facts.unknown) == (int((why == SPANNED).sum()), int((why == UNKNOWN).sum()))
    assert 0 < facts.untaught < 0.5 * len(why)


def test_windows_that_overlap_are_read_with_what_they_share(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("edgedistill.signals.recording.SHARD_DECISIONS", 50)
    replies = projector_of(teacher, REPLIES)
    whole = TASK.data.sequences(REPLIES, replies.trimmed)
    reached = [int(whole.after[whole.item == item].max()) for item in range(len(whole.example))]
    pairs = [n for n in range(1, len(reached)) if whole.example[n] == whole.example[n - 1]]
    assert any(whole.first[n] <= reached[n - 1] for n in pairs)
    files = recorded(replies, tmp_path)
    assert len(files) > 1
    expected = list(one_by_one(replies))
    assert [one == TAUGHT_SO for one in Shards.of(files, TAUGHT).every()] == [known for _, known in expected]
    np.testing.assert_allclose(
        Shards.of(files).every(), torch.stack([log_p for log_p, _ in expected]).numpy(), atol=2e-3
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_teachers_of_every_family_are_read_with_branches(family, tmp_path):
    """Rows of a text and of its branches in one pass are what the teacher says to each by itself."""
    projector = family_projector(family, KEPT)
    files = recorded(projector, tmp_path)
    values, expected = Shards.of(files).every(), list(one_by_one(projector))
    np.testing.assert_allclose(np.exp(values).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(values, torch.stack([log_p for log_p, _ in expected]).numpy(), atol=2e-3)
    known = [known for _, known in expected]
    assert taught(files).tolist() == known
    assert 0.5 * len(known) < sum(known) < len(known)


@pytest.mark.parametrize("family", FAMILIES)
def test_onto_all_of_its_tokens_a_teacher_of_every_family_says_what_it_says(family, tmp_path):
    projector = family_projector(family, None)
    files = recorded(projector, tmp_path)
    own, found = TASK.data.sequences(TEXT, projector.own), []
    for item, example in enumerate(own.example):
        ids, after = own.of_example(example), own.after[own.item == item]
        begun = max(int(own.first[item]) - 1, 0)  # with the token that a later window follows
        with torch.no_grad():
            logits = projector.model(torch.from_numpy(ids[begun : after[-1] + 1])[None]).logits[0, after - begun]
        found.append(logits[:, : projector.re_encoding.tokens].log_softmax(-1).numpy())
    np.testing.assert_allclose(Shards.of(files).every(), np.concatenate(found), atol=2e-4)
    assert taught(files).all()


def test_it_goes_on_from_the_shards_that_are_there(projector, tmp_path, monkeypatch):
    """In the middle of a text, too."""
    whole = Shards.of(recorded(projector, tmp_path / "whole")).every()
    monkeypatch.setattr("edgedistill.signals.recording.SHARD_DECISIONS", 50)
    files = recorded(projector, tmp_path / "parts")
    assert len(files) > 3
    np.testing.assert_allclose(Shards.of(files).every(), whole, atol=2e-3)
    before = {file: file.stat().st_mtime_ns for file in files}
    files[1].unlink()
    recorded(projector, tmp_path / "parts")
    assert [file for file in files if file.stat().st_mtime_ns != before[file]] == [files[1]]
    np.testing.assert_allclose(Shards.of(files).every(), whole, atol=2e-3)


def test_packed_rows_are_over_the_students_tokens(projector, tmp_path):
    layout = PackedTopK(len(projector.re_encoding.kept), 30, 8, 1)
    dense = Shards.of(recorded(projector, tmp_path / "dense")).every()
    files = recorded(projector, tmp_path / "packed", layout=layout, temperatures=(1.0,))
    ids, _, log_rest = layout.unpack(Shards.of(files).every())
    kept = np.take_along_axis(dense, ids, 1)
    np.testing.assert_allclose(np.sort(kept, 1), np.sort(dense, 1)[:, -30:], atol=2e-3)
    np.testing.assert_allclose(np.exp(log_rest[:, 0]), 1 - np.exp(kept).sum(1), atol=2e-3)


def test_a_tokenizer_that_was_cut_twice_is_one_that_was_cut(tmp_path):
    tokenizers = pair(KEPT)
    for name, tokenizer in (("whole", tokenizers.whole), ("smaller", tokenizers.smaller)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(tokenizer.to_str())
    found = re_encoding_of(tmp_path / "whole", tmp_path / "smaller")
    assert found.kept.tolist() == tokenizers.trimmed.kept
    with pytest.raises(UserError, match=r"the student's vocabulary has '.*', which the teacher's lacks"):
        re_encoding_of(tmp_path / "smaller", tmp_path / "whole")
