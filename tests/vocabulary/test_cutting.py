"""Causal models cut to some tokens of a byte-level BPE, by the initialisation that a recipe names."""

from __future__ import annotations

import copy

import pytest
import torch
from byte_pairs import LACKING, TEXTS, byte_pairs, completed, pair
from helpers import text_items
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from edgedistill.contracts.student import StudentRequest
from edgedistill.errors import UserError
from edgedistill.models.loading import load_tokenizer
from edgedistill.students.trim_vocabulary import STUDENT, TrimVocabularySpec, make_tokenizer
from edgedistill.vocabulary.cutting import cut_to_tokens, uncuttable

ROWS = 704  # of 701 tokens: the others are padding
ENDS = {"bos_token_id": 0, "eos_token_id": 700, "pad_token_id": 700}
SIZES = {"vocab_size": ROWS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = {
    "tied Llama": LlamaConfig(**SIZES, **ENDS, intermediate_size=32, num_key_value_heads=2, tie_word_embeddings=True),
    "untied Llama": LlamaConfig(**SIZES, **ENDS, intermediate_size=32, tie_word_embeddings=False),
    "GPT-2": GPT2Config(vocab_size=ROWS, n_embd=16, n_layer=2, n_head=4, n_positions=ROWS, **ENDS),
}


@pytest.fixture(params=CONFIGS)
def source(request, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param])
    model.generation_config.eos_token_id = [700, 500, 0]
    model.save_pretrained(tmp_path / "source")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_pairs(), eos_token="<|end|>", bos_token="<|start|>")
    tokenizer.save_pretrained(tmp_path / "source")
    return tmp_path / "source"


def student_of(source, folder, **how):
    spec = TrimVocabularySpec(init="trim_vocabulary", **how)
    train = text_items(load_tokenizer(source)(TEXTS[:200])["input_ids"])
    kept = make_tokenizer(spec, source, train.token_ids, folder)
    tokenizer = load_tokenizer(folder)
    request = StudentRequest(
        spec=spec, source=source, auto_class=AutoModelForCausalLM, config_overrides={}, tokenizer=tokenizer, probe=[],
        kept_tokens=kept,
    )  # fmt: skip
    return STUDENT.build(request).eval(), tokenizer, kept


def test_what_it_says_of_kept_tokens_is_the_sources(source, tmp_path):
    student, tokenizer, kept = student_of(source, tmp_path / "own", vocabulary=550)
    whole, model = load_tokenizer(source), AutoModelForCausalLM.from_pretrained(source).eval()
    assert len(kept) == len(tokenizer) == student.config.vocab_size == 550
    covered = 0
    for text in TEXTS[:100]:
        ids, own = whole(text, return_tensors="pt").input_ids, tokenizer(text, return_tensors="pt").input_ids
        assert tokenizer.decode(own[0]) == text
        if torch.isin(ids, torch.tensor(kept)).all():
            covered += 1
            assert torch.equal(torch.tensor(kept)[own], ids)
            with torch.no_grad():
                torch.testing.assert_close(student(own).logits, model(ids).logits[..., kept], rtol=0, atol=1e-6)
    assert covered > 5
    assert (student.lm_head.weight is student.get_input_embeddings().weight) == model.config.tie_word_embeddings


def test_special_tokens_are_renumbered_in_model_generation_and_tokenizer(source, tmp_path):
    student, tokenizer, kept = student_of(source, tmp_path / "own", vocabulary=400)
    assert 500 not in kept
    assert kept[399] == 700
    assert (student.config.eos_token_id, student.config.bos_token_id) == (399, 0)
    assert student.generation_config.eos_token_id == [399, 0]
    student.save_pretrained(tmp_path / "own")
    again = AutoTokenizer.from_pretrained(tmp_path / "own")
    plain = Tokenizer.from_file(str(tmp_path / "own" / "tokenizer.json"))
    assert again.eos_token_id == tokenizer.eos_token_id == plain.token_to_id("<|end|>") == 399
    for text in (*TEXTS[:20], "naïve 🙂\n\n<|end|> next"):
        assert again(text).input_ids == plain.encode(text).ids == pair(400).smaller.encode(text).ids
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "own").generation_config.eos_token_id == [399, 0]


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_added_byte_begins_as_the_mean_of_the_kept_tokens(kind):
    torch.manual_seed(0)
    config = copy.deepcopy(CONFIGS[kind])
    config.pad_token_id = -1  # of no token, as some models have it
    model = AutoModelForCausalLM.from_config(config)
    kept = completed(300).trimmed.kept
    student = cut_to_tokens(model, kept, AutoModelForCausalLM)
    added = [number for number, token in enumerate(kept) if token < 0]
    ids = [token for token in kept if token >= 0]
    assert len(added) == len(LACKING)
    for whole, own in (
        (model.get_input_embeddings().weight, student.get_input_embeddings().weight),
        (model.lm_head.weight, student.lm_head.weight),
    ):
        torch.testing.assert_close(own[added], whole[ids].mean(0).expand(len(added), -1))
        others = [number for number in range(len(kept)) if number not in added]
        assert torch.equal(own[others], whole[ids])
    assert (student.lm_head.weight is student.get_input_embeddings().weight) == config.tie_word_embeddings
    assert student.config.pad_token_id is None


def test_either_measure_but_not_both():
    spec = TrimVocabularySpec.model_validate({"init": "trim_vocabulary", "vocabulary": 400})
    assert TrimVocabularySpec.model_validate(spec.model_dump(by_alias=True)) == spec
    with pytest.raises(ValueError, match="expected either 'coverage' or 'vocabulary'"):
        TrimVocabularySpec.model_validate({"init": "trim_vocabulary", "vocabulary": 400, "coverage": 0.9})


def test_tables_that_cannot_be_cut_are_refused():
    layered = {"model_type": "gemma3n_text", "vocab_size": 10, "vocab_size_per_layer_input": 10}
    for unsuitable in (STUDENT.unsuitable, lambda _, config: uncuttable(config)):
        assert unsuitable(None, {"model_type": "llama", "vocab_size": 10}) is None
        assert unsuitable(None, layered) == "which has a token table per layer"
        assert unsuitable(None, {"text_config": {"vocab_size": 10}}) == "which has more components than its text model"
    model = AutoModelForCausalLM.from_config(CONFIGS["untied Llama"])
    model.lm_head = torch.nn.Linear(16, ROWS + 8, bias=False)
    with pytest.raises(UserError, match=r"'llama' whose 'lm_head.weight' has the shape \(712, 16\), expected one row"):
        cut_to_tokens(model, [0, 1, 700], AutoModelForCausalLM)
