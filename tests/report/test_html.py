"""The page: what it says, in which order, and that nothing in it comes from elsewhere or runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from edgedistill.evaluation.results import Results
from edgedistill.recipe.deployment_spec import Limits, SelectSpec
from edgedistill.report.html import limit_sentences, preference_sentence, render_html

SELECT = SelectSpec(limits=Limits(p95_ms=6, drop=0.03))


@pytest.fixture
def page(results, training):
    return render_html(results, training, SELECT)


class Elements(HTMLParser):
    """Every start tag with its attributes, and the ones left open."""

    VOID = frozenset({"meta", "wbr", "br", "img", "input", "link", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_elements_are_closed_and_nothing_is_fetched(page):
    elements = Elements(page)
    assert elements.open == []
    assert {tag for tag, _ in elements.found}.isdisjoint({"link", "img", "iframe"})
    for tag, attributes in elements.found:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert (value or "").startswith("#"), (tag, name, value)
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_users_text_is_escaped(page):
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3  # the title, the heading, the flipped text


def test_warnings_stand_before_the_verdict(page):
    assert page.index("12 texts of test") < page.index('id="verdict"') < page.index('id="candidates"')


def test_no_warnings_no_section(facts, training):
    facts["warnings"] = []
    assert 'id="warnings"' not in render_html(Results.model_validate(facts), training, SELECT)


def test_verdict_names_the_file_and_what_it_saves(page):
    verdict = page[page.index('id="verdict"') : page.index('id="plot"')]
    assert "Ship r1 fp32" in verdict
    assert "models/r1/onnx/model.onnx" in verdict
    assert "22.5×" in verdict
    assert "2.0×" in verdict
    assert "p95 latency ≤ 6 ms · drop from the teacher on validation ≤ 0.03" in verdict


def test_nothing_chosen(facts, training):
    facts |= {"chosen": None, "why": "No candidate meets the limits. Closest: r1 (file size)."}
    page = render_html(Results.model_validate(facts), training, SELECT)
    assert "Nothing to ship" in page
    assert "Closest: r1" in page
    assert 'class="badge"' not in page
    assert 'class="chosen"' not in page


def test_every_candidate_has_a_row_with_its_blocking_limit(page, results):
    body = page[page.index('id="candidates"') : page.index('id="rounds"')]
    rows = re.findall(r"<tr.*?</tr>", body[body.index("<tbody>") : body.index("</tbody>")], flags=re.DOTALL)
    assert len(rows) == len(results.candidates)
    assert "accuracy drop 0.0500 &gt; 0.02" in rows[2]
    assert "✓ within" in rows[1]


def test_a_quantized_file_stands_beside_its_fp32_file(facts, training):
    facts["candidates"][2] |= {
        "speed_up": {"value": 0.83, "low": 0.8, "high": 0.86, "over": "r1/onnx/fp32/onnxruntime"},
        "worse_than_fp32": ["int8-dynamic is slower than fp32 here: 0.83x [0.80, 0.86]"],
        "integer_share": 0.9,
        "float_products": {},
    }
    page = render_html(Results.model_validate(facts), training, SELECT)
    table = page[page.index('id="beside-fp32"') :]
    table = table[: table.index("</table>")]
    for text in ("<td>r1 int8</td>", "0.83× [0.80, 0.86]", 'blocked">slower, smaller', "90.0%", "none"):
        assert text in table
    assert "<span>int8-dynamic is slower than fp32 here: 0.83x [0.80, 0.86]</span>" in page
    assert Elements(page).open == []


def test_an_unsupported_percentile_is_a_dash_that_sorts_last(page):
    body = page[page.index('id="candidates"') : page.index('id="rounds"')]
    assert re.search(r'<td data-value="" title="250 runs">–</td>', body)


def test_a_runtime_that_is_reduced_to_its_file_is_listed(facts, training, page):
    assert 'id="runtime-sizes"' not in page
    size = {"bytes": 1_870_000, "operators": 29, "unknown": ["ai.onnx:New"], "basis": "builds for aarch64"}
    facts["candidates"][1]["runtime_size"] = size
    shown = render_html(Results.model_validate(facts), training, SELECT)
    table = shown[shown.index('id="runtime-sizes"') :]
    table = table[: table.index("</table>")]
    for text in ("<td>r1/onnx/fp32</td>", "1.87", "ai.onnx:New in addition", "29", "builds for aarch64"):
        assert text in table


def test_where_the_bytes_are(facts, training, page):
    assert 'id="bytes"' not in page
    parts = {"embeddings": 4_000_000, "attention": 5_000_000, "feed_forward": 900_000, "head": 600_000, "graph": 90_000}
    facts["candidates"][1] |= {"bytes_by_part": parts, "file_bytes": 10_590_000, "tokenizer_bytes": 700_000}
    shown = render_html(Results.model_validate(facts), training, SELECT)
    table = shown[shown.index('id="bytes"') :]
    table = table[: table.index("</table>")]
    for text in ("<td>r1/onnx/fp32</td>", "4.00", "5.00", "0.90", "0.60", "0.09", "10.59", "0.70", "11.29"):
        assert text in table


def test_rounds_show_the_gain_with_its_interval(page):
    rounds = page[page.index('id="rounds"') : page.index('id="training"')]
    assert "+0.0200<small>[+0.0050, +0.0350]</small>" in rounds
    assert "&lt; 0.001" in rounds


def test_flips(page):
    flips = page[page.index('id="flips"') : page.index('id="data"')]
    assert "1 flipped" in flips
    assert "None flipped:</span> r1 fp32" in flips


def test_same_page_twice(results, training, page):
    assert render_html(results, training, SELECT) == page


def test_ids_are_unique_on_the_page(page):
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_limits_and_preference_in_words():
    assert limit_sentences(Limits()) == []
    assert limit_sentences(Limits(file_mb=5, peak_rss_mb=40, load_ms=100)) == [
        "file ≤ 5 MB",
        "peak memory ≤ 40 MB",
        "load time ≤ 100 ms",
    ]
    assert "fastest" in preference_sentence(SelectSpec(prefer="latency"))
    assert "smallest" in preference_sentence(SelectSpec(prefer="size"))
    tie = preference_sentence(SelectSpec.model_validate({"prefer": "accuracy", "tie": 0.01}))
    assert tie.endswith("; those within 0.01 of it count as equal, and the lowest p50 of them wins")


def test_a_metric_that_is_lower_is_better_is_said_so_wherever_it_stands(lower, training):
    page = render_html(Results.model_validate(lower), training, SELECT)
    verdict = page[page.index('id="verdict"') : page.index('id="plot"')]
    assert "perplexity (lower is better) on test" in verdict
    assert "7.0000" in verdict
    assert "rise from the teacher" in verdict
    assert "accuracy" not in verdict
    assert "rise from the teacher on validation ≤ 0.03" in verdict
    rounds = page[page.index('id="rounds"') : page.index('id="training"')]
    assert "<th>rise from teacher [95% CI]</th>" in rounds
    assert "perplexity on test (lower is better ↑)" in page
    assert "(lower is better ↑)" in page[page.index('id="training"') :]


def test_every_metric_has_a_column(page, results):
    for section, number in (("candidates", len(results.measured)), ("rounds", 1 + len(results.rounds))):
        body = page[page.index(f'id="{section}"') :]
        table = body[body.index("<table") : body.index("</table>")]
        assert "f1 macro" in table
        found = [figure for judged in (*results.measured, *results.rounds) if (figure := judged.of("f1_macro"))]
        assert f"{found[-1].value:.4f}" in table
        head = table[: table.index("</thead>")].rsplit("<tr>", 1)[1].count("<th")
        rows = re.findall(r"<tr.*?</tr>", table[table.index("<tbody>") :], flags=re.DOTALL)
        assert [row.count("<td") for row in rows] == [head] * number


def test_a_second_host_is_named_beside_what_it_measured(facts, training):
    facts["hosts"]["h2"] = {"cpu": "another processor"}
    facts["candidates"][2]["host"] = "h2"
    page = render_html(Results.model_validate(facts), training, SELECT)
    assert "r1 int8 on h2" in page
    assert "r1 fp32 on h1" in page
    hosts = page[page.index('id="hosts"') :]
    assert hosts.index("<h3>h1</h3>") < hosts.index("<h3>h2</h3>") < hosts.index("another processor")
