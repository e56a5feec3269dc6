"""The Markdown report."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedistill.evaluation.results import Results
from edgedistill.report.markdown import escape, render_markdown


def cells(line: str) -> int:
    return line.replace("\\\\", "").replace("\\|", "").count("|")


def test_one_row_a_candidate_and_whole_tables(results):
    lines = render_markdown(results).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    candidates = lines[lines.index("## Candidates") + 4 :][: len(results.candidates)]
    assert all("/onnxruntime" in line for line in candidates)
    assert len({cells(line) for line in tables}) == 3  # three tables, each of one width
    assert candidates[1].startswith("| **r1/onnx/fp32/onnxruntime** |")
    assert "accuracy drop 0.0500 > 0.02" in candidates[2]
    assert "| – |" in candidates[1]  # p99: 250 runs do not support it


def test_warning_then_verdict_then_tables(results):
    text = render_markdown(results)
    assert text.index("> - 12 texts") < text.index("## Ship `r1/onnx/fp32/onnxruntime`") < text.index("## Candidates")
    assert "22.5× smaller, 2.0× faster" in text


def test_users_text_is_escaped(results):
    assert render_markdown(results).startswith("# &lt;script>alert(1)&lt;/script> a\\|b &amp; c\n")


def test_nothing_chosen(facts):
    facts |= {"chosen": None, "why": "No candidate meets the limits."}
    assert "## Nothing to ship\n\nNo candidate meets the limits." in render_markdown(Results.model_validate(facts))


@given(st.text())
def test_escaped_text_stays_in_its_cell(text):
    escaped = escape(text)
    assert escaped.splitlines() in ([], [escaped])
    assert cells(escaped) == 0
    assert "<" not in escaped


def test_a_runtime_that_is_reduced_to_its_file_is_listed_once_a_file(facts):
    size = {"bytes": 1_870_000, "operators": 29, "unknown": ["ai.onnx:New"], "basis": "builds for aarch64"}
    second = {**facts["candidates"][1], "threads": 2, "id": "r1/onnx/fp32/onnxruntime/2"}
    for candidate in (facts["candidates"][1], second):
        candidate["runtime_size"] = size
    facts["candidates"].append(second)
    text = render_markdown(Results.model_validate(facts))
    section = text[text.index("### Minimal runtime builds") :]
    assert text.count("| 1.87, ai.onnx:New in addition | 29 | builds for aarch64 |") == 1
    assert section.index("| r1/onnx/fp32 |") < section.index("without reduced types")


def test_without_such_a_runtime_there_is_no_such_section(results):
    assert "Minimal runtime builds" not in render_markdown(results)


def test_a_quantized_file_stands_beside_its_fp32_file(facts):
    facts["candidates"][2] |= {
        "speed_up": {"value": 0.83, "low": 0.8, "high": 0.86, "over": "r1/onnx/fp32/onnxruntime"},
        "worse_than_fp32": ["int8-dynamic is slower than fp32 here: 0.83x [0.80, 0.86]"],
        "integer_share": 0.9,
        "float_products": {"Gemm": 2, "MatMul of activations": 4},
    }
    facts["hosts"]["h1"]["isa"] = ["avx2", "avx512f"]
    text = render_markdown(Results.model_validate(facts))
    row = "| r1/onnx/int8-dynamic/onnxruntime | 0.83× [0.80, 0.86] | slower, smaller | 1.50 | 4.00 | 90.0% | 2 Gemm, 4 "
    assert row + "MatMul of activations |" in text
    assert "accuracy drop 0.0500 > 0.02; int8-dynamic is slower than fp32 here: 0.83x [0.80, 0.86] |" in text
    assert "Instruction sets for int8 on this machine: avx2; none has int8 dot products" in text


def test_what_is_unknown_of_a_quantized_file_is_a_dash(facts):
    facts["hosts"]["h1"]["isa"] = ["avx2", "avx_vnni"]
    text = render_markdown(Results.model_validate(facts))
    assert "| r1/onnx/int8-dynamic/onnxruntime | – | – | 1.50 | – | – | – |" in text
    assert "Instruction sets for int8 on this machine: avx2, avx_vnni.\n" in text


def test_without_quantized_files_there_is_no_such_table(facts):
    facts["candidates"] = facts["candidates"][:2]
    assert "Speed-up over fp32" not in render_markdown(Results.model_validate(facts))


PARTS = {"embeddings": 40_000_000, "attention": 5_000_000, "feed_forward": 10_000_000, "head": 600_000, "graph": 90_000}


def test_where_the_bytes_are_is_listed_once_a_file_with_the_tokenizer(facts):
    second = {**facts["candidates"][1], "threads": 2, "id": "r1/onnx/fp32/onnxruntime/2"}
    for candidate in (facts["candidates"][1], second):
        candidate |= {"bytes_by_part": PARTS, "file_bytes": 55_690_000, "tokenizer_bytes": 700_000}
    facts["candidates"].append(second)
    text = render_markdown(Results.model_validate(facts))
    row = "| r1/onnx/fp32 | 40.00 | 5.00 | 10.00 | 0.60 | 0.09 | 55.69 | 0.70 | 56.39 |"
    assert text[text.index("### Where the bytes are") :].count(row) == 1


def test_where_no_parts_are_known_there_is_no_such_section(results):
    assert "Where the bytes are" not in render_markdown(results)
