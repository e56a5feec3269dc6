"""GGUF files, read back by transformers, which knows the format from llama.cpp and not from here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from byte_pairs import LACKING
from language_models import STORIES, TEACHER, causal_request, family, greedy_of_torch, tiny
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from edgedistill.contracts import registry
from edgedistill.errors import RefusedError
from edgedistill.students._tokens import trimmed_tokenizer
from edgedistill.vocabulary.token_bytes import byte_characters
from edgedistill.vocabulary.trimming import ADDED_BYTE

gguf = pytest.importorskip("gguf")

from edgedistill_exporters.gguf_vocabulary import pre_tokenizer  # noqa: E402

EXPORTER = registry.target("gguf")
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZES |= {"intermediate_size": 96, "head_dim": 16, "max_position_embeddings": 64}
TEXT = "the cat sat on the mat, and 1984 cats sat on 27 mats. it's what they'd done before;\n they came again"
SMOLLM = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)])


def bpe(cut, size: int = 300, lacking: tuple[int, ...] = (), **options) -> Tokenizer:
    """A byte-level tokenizer of so many tokens, without those of some bytes."""
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer, tokenizer.decoder = cut, decoders.ByteLevel()
    without = {token for token, byte in byte_characters().items() if byte in lacking}
    alphabet = [token for token in pre_tokenizers.ByteLevel.alphabet() if token not in without]
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|end|>"])
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    return tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=bpe(SMOLLM), eos_token="<|end|>", bos_token="<|end|>")
    wrapped.save_pretrained(folder)
    return folder


def written(model, folder, place, precision="fp32"):
    file = place / EXPORTER.precisions[precision].file
    return file, EXPORTER.make(causal_request(model, precision, folder=folder), file)


def fields(file):
    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def tensors(file):
    return {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_what_transformers_reads_back_gives_the_same_logits(tmp_path, folder, kind, tied):
    size = 128 if kind == "qwen3" else 16  # transformers reads a Qwen3 as of its usual size of heads
    sizes = SIZES | {"head_dim": size, "bos_token_id": 0, "eos_token_id": 0}
    model = family(kind, vocab_size=310, tie_word_embeddings=tied, **sizes)
    file, _ = written(model, folder, tmp_path)
    assert ("output.weight" in tensors(file)) == (not tied)
    read = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=file.name, dtype=torch.float32).eval()
    tokens = torch.arange(3, 40)[None]
    with torch.no_grad():
        torch.testing.assert_close(read(tokens).logits, model(tokens).logits, atol=1e-5, rtol=1e-5)


def test_gpt2_is_written_as_llama_cpp_multiplies(tmp_path, folder):
    model = family("gpt2", vocab_size=310, n_embd=32, n_layer=1, n_head=4)
    file, _ = written(model, folder, tmp_path)
    found = tensors(file)
    weights = model.get_parameter("transformer.h.0.mlp.c_fc.weight").detach().numpy()
    np.testing.assert_array_equal(found["blk.0.ffn_up.weight"].data, weights.T)
    assert fields(file)["gpt2.feed_forward_length"] == 128
    assert {"position_embd.weight", "blk.0.attn_qkv.bias", "output_norm.bias"} <= set(found)


def test_stretched_positions_are_written_by_how_much(tmp_path, folder):
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0}
    rope |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    model = family("llama", vocab_size=310, rope_parameters=rope, **SIZES)
    file, _ = written(model, folder, tmp_path)
    factors = tensors(file)["rope_freqs.weight"].data
    assert factors[0] == pytest.approx(1.0)
    assert factors[-1] == pytest.approx(8.0)


@pytest.mark.parametrize(("precision", "bound"), [("fp16", 1e-3), ("int8", 0.01), ("int4", 0.15)])
def test_precisions_are_of_their_kinds_and_as_close(tmp_path, folder, precision, bound):
    model = family("llama", vocab_size=310, **(SIZES | {"intermediate_size": 100}))
    file, made = written(model, folder, tmp_path, precision)
    kinds = {name: tensor.tensor_type.name for name, tensor in tensors(file).items()}
    expected = {"fp16": ("F16", "F16"), "int8": ("Q8_0", "Q8_0"), "int4": ("Q4_0", "Q8_0")}[precision]
    assert (kinds["blk.0.attn_q.weight"], kinds["token_embd.weight"]) == expected
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    assert kinds["blk.1.ffn_down.weight"] == "F16"  # rows of 100 are no whole number of blocks
    told = [name for name in kinds if name.endswith("ffn_down.weight")]
    assert made.facts.get("kept_fp16", []) == ([] if precision == "fp16" else told)
    weight = tensors(file)["blk.0.ffn_up.weight"]
    weights = model.get_parameter("model.layers.0.mlp.up_proj.weight").detach().numpy()
    found = gguf.quants.dequantize(weight.data, weight.tensor_type).reshape(weights.shape)
    assert 0 < np.abs(found - weights).max() < bound * np.abs(weights).max()


def test_tokens_merges_and_what_stands_around_a_text_are_written(tmp_path, folder):
    model = family("llama", vocab_size=310, **SIZES)
    file, made = written(model, folder, tmp_path)
    found, tokenizer = fields(file), json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    size = len(vocabulary)
    assert found["tokenizer.ggml.tokens"][:size] == sorted(vocabulary, key=vocabulary.__getitem__)
    assert found["tokenizer.ggml.tokens"][size:] == [f"[PAD{number}]" for number in range(size, 310)]
    types = gguf.TokenType
    assert found["tokenizer.ggml.token_type"][0] == types.CONTROL
    assert found["tokenizer.ggml.token_type"][5:7] == [types.NORMAL] * 2
    assert found["tokenizer.ggml.token_type"][-1] == types.UNUSED
    assert found["tokenizer.ggml.merges"] == [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    assert found["tokenizer.ggml.pre"] == made.facts["pre_tokenizer"] == "smollm"
    assert (found["tokenizer.ggml.add_bos_token"], found["tokenizer.ggml.eos_token_id"]) == (False, 0)


def cut_with(digits: str) -> pre_tokenizers.PreTokenizer:
    """Llama 3's pre-tokenizer and its kin, which differ in how they cut numbers."""
    pattern = (
        rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    byte_level = pre_tokenizers.ByteLevel(False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level])


LLAMA3 = cut_with(r"\p{N}{1,3}")
CUTS = [
    (pre_tokenizers.ByteLevel(False), {}, "gpt-2"),
    (SMOLLM, {}, "smollm"),
    (LLAMA3, {"ignore_merges": True}, "llama-bpe"),
    (cut_with(r"\p{N}"), {}, "qwen2"),
]


@pytest.mark.parametrize(("cut", "options", "name"), CUTS)
@pytest.mark.parametrize("size", [300, 280])
def test_the_pre_tokenizer_is_named_by_how_it_cuts_whatever_the_tokens_are(cut, options, name, size):
    assert pre_tokenizer(json.loads(bpe(cut, size, **options).to_str())) == name


@pytest.mark.parametrize(("cut", "options", "name"), CUTS)
def test_a_trimmed_vocabulary_is_written_with_its_own_tokens_and_the_whole_ones_pre_tokenizer(
    tmp_path, cut, options, name
):
    """Trimmed as a student's is: to tokens of its texts, with bytes that the whole one lacks."""
    whole = bpe(cut, lacking=LACKING, **options)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=whole, eos_token="<|end|>", bos_token="<|end|>")
    wrapped.save_pretrained(tmp_path / "whole")
    used = np.array(whole.encode(TEXT).ids)
    kept = trimmed_tokenizer(tmp_path / "whole", used, tmp_path / "trimmed", 1.0, vocabulary=285)
    assert kept.count(ADDED_BYTE) == len(LACKING)
    assert len(kept) == 285 < whole.get_vocab_size()
    model = family("llama", vocab_size=len(kept), **SIZES)
    file, made = written(model, tmp_path / "trimmed", tmp_path)
    found, content = fields(file), json.loads((tmp_path / "trimmed" / "tokenizer.json").read_text())
    assert found["tokenizer.ggml.pre"] == made.facts["pre_tokenizer"] == name
    tokens, names = found["tokenizer.ggml.tokens"], {number: token for token, number in whole.get_vocab().items()}
    assert [token for token, old in zip(tokens, kept, strict=True) if old != ADDED_BYTE] == [
        names[old] for old in kept if old != ADDED_BYTE
    ]
    added = {token for token, old in zip(tokens, kept, strict=True) if old == ADDED_BYTE}
    assert {byte_characters()[token] for token in added} == set(LACKING)
    merges = [tuple(pair.split(" ")) for pair in found["tokenizer.ggml.merges"]]
    assert merges == [tuple(pair) for pair in content["model"]["merges"]]
    assert 0 < len(merges) < len(json.loads(whole.to_str())["model"]["merges"])
    assert all({*pair, "".join(pair)} <= set(tokens) for pair in merges)
    end, types = tokens.index("<|end|>"), [gguf.TokenType(kind) for kind in found["tokenizer.ggml.token_type"]]
    assert found["tokenizer.ggml.eos_token_id"] == found["tokenizer.ggml.bos_token_id"] == end
    assert [number for number, kind in enumerate(types) if kind != gguf.TokenType.NORMAL] == [end]
    assert types[end] == gguf.TokenType.CONTROL


def test_a_trimmed_sentencepiece_vocabulary_keeps_the_order_of_its_merges(tmp_path):
    wrapped = AutoTokenizer.from_pretrained(TEACHER)
    used = np.array(wrapped("Once upon a time there was a little girl named Lily.")["input_ids"])
    kept = trimmed_tokenizer(TEACHER, used, tmp_path / "trimmed", 1.0, vocabulary=450)
    file, _ = written(family("llama", vocab_size=450, **SIZES), tmp_path / "trimmed", tmp_path)
    found, content = fields(file), json.loads((tmp_path / "trimmed" / "tokenizer.json").read_text())["model"]
    tokens, scores = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.scores"]
    assert tokens == [wrapped.convert_ids_to_tokens(old) for old in kept]
    assert (found["tokenizer.ggml.model"], found["tokenizer.ggml.pre"]) == ("llama", "default")
    merged = [scores[tokens.index("".join(pair))] for pair in content["merges"]]
    assert merged == sorted(merged, reverse=True)
    assert min(merged) > min(scores)
    assert found["tokenizer.ggml.bos_token_id"] == tokens.index("<s>")


@pytest.mark.parametrize(
    ("cut", "options", "normalizer", "reason"),
    [
        (
            pre_tokenizers.ByteLevel(True),
            {},
            None,
            "it pre-tokenizes with .*add_prefix_space.*, which llama.cpp has no name for",
        ),
        (LLAMA3, {}, None, "it does not match whole words"),
        (SMOLLM, {"ignore_merges": True}, None, "it matches whole words"),
        (SMOLLM, {}, normalizers.Lowercase(), "it normalizes texts: .*Lowercase"),
    ],
)
def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused(cut, options, normalizer, reason):
    tokenizer = bpe(cut, **options)
    tokenizer.normalizer = normalizer
    with pytest.raises(RefusedError, match=f"llama.cpp would tokenize texts differently from the tokenizer: {reason}"):
        pre_tokenizer(json.loads(tokenizer.to_str()))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: tiny(hidden_act="gelu"), "llama.cpp uses silu in a 'llama', the model gelu"),
        (
            lambda: family("gpt_neo", hidden_size=16, num_layers=1, num_heads=2, attention_types=[[["global"], 1]]),
            "'gpt_neo' is not supported",
        ),
        (
            lambda: tiny(rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}),
            "position embeddings of type 'dynamic'",
        ),
    ],
)
def test_a_model_that_llama_cpp_would_calculate_otherwise_is_refused(tmp_path, folder, model, reason):
    with pytest.raises(RefusedError, match=reason):
        written(model(), folder, tmp_path)


def test_a_model_that_continues_no_text_is_refused(tmp_path, folder):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(**sizes))
    with pytest.raises(RefusedError, match="target gguf: it only supports text-generation models; 'bert'"):
        written(model, folder, tmp_path)


GEMMA = SIZES | {"vocab_size": 450, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True}
GEMMA |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}


@pytest.fixture(scope="module")
def gemma_folder(tmp_path_factory):
    """A tokenizer as Gemma's: spaces are replaced and none is added, bytes are tokens, and merges are all ways to make
    a token of two others, as they follow from sentencepiece's."""
    words = Tokenizer(models.BPE())
    words.normalizer = normalizers.Replace(" ", "▁")
    words.train_from_iterator([TEXT] * 3, trainers.BpeTrainer(vocab_size=120, limit_alphabet=80))
    learned = sorted(words.get_vocab(), key=words.get_vocab().__getitem__)
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "\n\n", *(f"<0x{byte:02X}>" for byte in range(256)), *learned]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys([*tokens, "▁▁", "▁▁▁▁"]))}
    cuts = [(token[:at], token[at:]) for token in vocabulary for at in range(1, len(token))]
    merges = [pair for pair in cuts if pair[0] in vocabulary and pair[1] in vocabulary]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer.add_tokens([AddedToken("\n\n", normalized=False)])
    folder = tmp_path_factory.mktemp("gemma")
    named = {f"{name}_token": f"<{name}>" for name in ("pad", "eos", "bos", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return folder


def test_gemmas_tokenizer_adds_no_space_and_its_norms_are_whole(tmp_path, gemma_folder):
    model = family("gemma", **GEMMA)
    file, _ = written(model, gemma_folder, tmp_path)
    found, types = fields(file), gguf.TokenType
    assert found["tokenizer.ggml.model"] == "llama"
    assert found["tokenizer.ggml.add_space_prefix"] is False
    assert (found["tokenizer.ggml.add_bos_token"], found["tokenizer.ggml.bos_token_id"]) == (True, 2)
    kinds = [types.CONTROL, types.CONTROL, types.CONTROL, types.UNKNOWN, types.USER_DEFINED, types.BYTE]
    assert found["tokenizer.ggml.token_type"][:6] == kinds
    norm = model.get_parameter("model.norm.weight").detach().numpy()
    np.testing.assert_array_equal(tensors(file)["output_norm.weight"].data, norm + 1)
    assert "output.weight" not in tensors(file)


def test_llama_cpp_reads_and_continues_gemmas_texts_as_transformers_does(tmp_path, gemma_folder):
    pytest.importorskip("xllamacpp")
    from bench.llama_server import llama_server

    torch.manual_seed(0)
    model = family("gemma", initializer_range=0.3, **GEMMA)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, std=0.2)
    file, _ = written(model, gemma_folder, tmp_path)
    tokens = llama_server(file, 64)
    tokenizer = AutoTokenizer.from_pretrained(gemma_folder)
    for text in [TEXT, " the  cat    sat", "ünïcödé 漢字\n\nmats", "a", "<bos>the", "  ", "\t\n it's"]:
        expected = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokens("tokenize", content=text, add_special=False, parse_special=True) == expected
    prompt = tokenizer("the cat sat")["input_ids"]
    settings = {"n_predict": 24, "temperature": 0, "top_k": 1, "return_tokens": True, "ignore_eos": True}
    assert tokens("completion", prompt=prompt, **settings) == greedy_of_torch(model, prompt, 24)


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs ../shared/models/stories260k")
def test_a_tokenizer_of_sentencepiece_has_the_scores_of_its_merges(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()
    file, _ = written(model, STORIES, tmp_path)
    found, content = fields(file), json.loads((STORIES / "tokenizer.json").read_text())["model"]
    assert found["tokenizer.ggml.model"] == "llama"
    tokens, scores = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.scores"]
    merged = ["".join(pair) for pair in content["merges"]]
    assert [scores[tokens.index(token)] for token in merged] == sorted(
        [scores[tokens.index(token)] for token in merged], reverse=True
    )
    types = [gguf.TokenType(kind).name for kind in found["tokenizer.ggml.token_type"]]
    assert types[:4] == ["UNKNOWN", "CONTROL", "CONTROL", "BYTE"]
    assert found["tokenizer.ggml.add_bos_token"] is True
