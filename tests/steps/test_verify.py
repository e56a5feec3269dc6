from __future__ import annotations

import json


def test_flipped_items_are_listed_with_their_texts(finished_run):
    found = 0
    for row in finished_run.results.candidates:
        facts = json.loads((finished_run.artifact(f"verify-{row.id.replace('/', '-')}") / "fidelity.json").read_text())
        assert len(facts["flips"]) == round((1 - facts["agreement"]) * 36)
        assert len(finished_run.results.flips[row.id]) == len(facts["flips"])
        for flip in facts["flips"]:
            found += 1
            assert flip["model"] != flip["device"]
            assert flip["text"]
    assert found or all(row.agreement_with_student == 1 for row in finished_run.results.candidates)
