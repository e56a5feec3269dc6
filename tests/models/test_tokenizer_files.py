"""Published tokenizers: whoever reads the folder, by any library, gets the ids that the files were verified with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import MINILM, made, quickstart_rows, write_jsonl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from edgedistill.contracts import registry
from edgedistill.data.fingerprint import data_fingerprint
from edgedistill.data.prepared import PreparedData
from edgedistill.models.tokenizer_files import save_tokenizer
from edgedistill.recipe.data_spec import DataSpec
from edgedistill.steps import prepare_data, retokenise
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.progress import Progress
from edgedistill.store.step import Context

TEXTS = [row["text"] for row in quickstart_rows("train")[:60]]
LONG = " ".join(TEXTS[:30])
TASK = registry.task_as("text-classification", "accuracy", {})
LIMIT = 12


def word_pieces() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def byte_pairs() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=["[PAD]", "[UNK]"]))
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: Tokenizer, side: str) -> Path:
    """As teachers on the hub have them: padded to a fixed length and cut at another than the recipe's."""
    tokenizer.enable_padding(length=128, direction=side, pad_token="[PAD]", pad_id=0)
    tokenizer.enable_truncation(128, direction=side)
    known = {name: f"[{name[:3].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    known = {name: token for name, token in known.items() if tokenizer.token_to_id(token) is not None}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, padding_side=side, truncation_side=side, **known
    ).save_pretrained(folder)
    # Saving may leave the settings out that a file on the hub has.
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(params=["WordPiece", "BPE, left side"])
def padded(request, tmp_path):
    if request.param == "WordPiece":
        return write_tokenizer(tmp_path / "padded", word_pieces(), "right")
    return write_tokenizer(tmp_path / "padded", byte_pairs(), "left")


def check(folder: Path, limit: int) -> None:
    """Plain `tokenizers`, `transformers`, and what a client in another language reads."""
    written = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert written["padding"] is None
    side = settings["truncation_side"]
    expected = {"direction": side.capitalize(), "max_length": limit, "strategy": "LongestFirst", "stride": 0}
    assert written["truncation"] == expected
    assert settings["model_max_length"] == limit
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs = AutoTokenizer.from_pretrained(folder)
    for text in (*TEXTS[:20], LONG):
        ids = plain.encode(text).ids
        assert (
            ids == theirs(text, truncation=True).input_ids == theirs(text, truncation=True, max_length=limit).input_ids
        )
        assert len(ids) <= limit
    assert len(plain.encode(LONG).ids) == limit
    pair = plain.encode(TEXTS[0], LONG)
    assert (pair.ids, pair.type_ids) == _pair(theirs(TEXTS[0], LONG, truncation=True, return_token_type_ids=True))


def _pair(encoded) -> tuple[list[int], list[int]]:
    return encoded.input_ids, encoded.token_type_ids


def test_any_client_gets_the_verified_ids(padded, tmp_path):
    given = AutoTokenizer.from_pretrained(padded)
    before = [given(text, truncation=True, max_length=LIMIT).input_ids for text in (*TEXTS, LONG)]
    save_tokenizer(given, LIMIT, tmp_path / "published")
    check(tmp_path / "published", LIMIT)
    plain = Tokenizer.from_file(str(tmp_path / "published" / "tokenizer.json"))
    assert [plain.encode(text).ids for text in (*TEXTS, LONG)] == before


def test_it_is_the_same_however_often_it_is_saved(padded, tmp_path, monkeypatch):
    save_tokenizer(AutoTokenizer.from_pretrained(padded), LIMIT, tmp_path / "once")
    again = AutoTokenizer.from_pretrained(tmp_path / "once", local_files_only=True)
    again(TEXTS, padding=True, truncation=True, max_length=5)
    save_tokenizer(again, LIMIT, tmp_path / "twice")
    for file in (tmp_path / "once").iterdir():
        assert (tmp_path / "twice" / file.name).read_bytes() == file.read_bytes()


def test_the_teacher_of_the_readme(tmp_path):
    if not (MINILM / "tokenizer.json").is_file():
        pytest.skip(f"needs {MINILM.name} in the folder shared/models beside the checkout")
    padding = json.loads((MINILM / "tokenizer.json").read_text(encoding="utf-8"))["padding"]
    assert padding["strategy"] == {"Fixed": 128}  # what this is about
    save_tokenizer(AutoTokenizer.from_pretrained(MINILM), 64, tmp_path)
    check(tmp_path, 64)
    assert len(Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("wake me").ids) == 4


@pytest.fixture
def data(tmp_path):
    rows = [{"text": text, "label": str(number % 2)} for number, text in enumerate([*TEXTS, LONG])]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    return DataSpec.model_validate(
        {**{split: {"path": str(file)} for split in ("train", "validation", "test")}, "max_length": LIMIT}
    )


def test_every_step_that_makes_a_tokenizer_publishes_it_so(data, tmp_path):
    """The teacher's own, one that was learned, one of a round with its own data, and a student's own."""
    padded = write_tokenizer(tmp_path / "padded", word_pieces(), "right")
    context = Context(tmp_path / "scratch", Progress())
    rows = len(AutoTokenizer.from_pretrained(padded))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=rows, **sizes)).save_pretrained(padded)
    settings = prepare_data.Settings(
        task=TASK, train=data.train, columns={}, labels={}, max_length=data.max_length,
        tokenizer=str(padded), revision="main", vocabulary=None, teacher_labels=False,
        content=data_fingerprint("data.train", data.train),
    )  # fmt: skip
    places = [tmp_path / name for name in ("teacher", "learned", "round", "student")]
    alone = prepare_data.Inputs()
    first = prepare_data.run(settings, alone, places[0], context)
    learned = settings.model_copy(update={"tokenizer": None, "vocabulary": 300})
    own = settings.model_copy(update={"max_length": 9})
    teacher = made(first, places[0])
    records = [
        first,
        prepare_data.run(learned, alone, places[1], context),
        prepare_data.run(own, prepare_data.Inputs(teacher), places[2], context),
        retokenise.run(
            retokenise.Settings(
                task=TASK,
                student=registry.student("trim_vocabulary").spec.model_validate(
                    {"init": "trim_vocabulary", "coverage": 0.9}
                ),
            ),
            retokenise.Inputs(DataInputs(teacher)),
            places[3],
            context,
        ),
    ]
    for place, record, limit in zip(places, records, (LIMIT, LIMIT, 9, LIMIT), strict=True):
        check(place / "tokenizer", limit)
        lengths = PreparedData(place, record).items("train").lengths
        assert lengths.min() < lengths.max() == limit  # padded neither by the teacher's settings nor by ours


def test_models_and_bundle_of_a_run(finished_run):
    for folder in (*(finished_run.folder / "models").iterdir(), finished_run.folder / "bundle"):
        written = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        assert (written["padding"], written["truncation"]["max_length"]) == (None, 32), folder
        assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 32


def test_no_byte_goes_to_indentation(tmp_path):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=word_pieces(), pad_token="[PAD]", unk_token="[UNK]")
    save_tokenizer(tokenizer, LIMIT, tmp_path)
    file = tmp_path / "tokenizer.json"
    content = file.read_text(encoding="utf-8")
    compact = json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":"))
    assert len(content) <= len(compact)
    assert Tokenizer.from_file(str(file)).encode(TEXTS[0]).ids == tokenizer(TEXTS[0])["input_ids"][:LIMIT]
