from __future__ import annotations

from helpers import record_of

from edgedistill.store.records.files import Verified


def test_flipped_items_are_listed_with_their_texts(finished_run):
    found = 0
    for row in finished_run.results.candidates:
        facts = record_of(Verified, finished_run.artifact(f"verify-{row.id.replace('/', '-')}"))
        assert len(facts.flips) == round((1 - facts.fidelity.agreement) * 36)
        assert len(finished_run.results.flips[row.id]) == len(facts.flips)
        for flip in facts.flips:
            found += 1
            assert flip.model != flip.device
            assert flip.text
    assert found or all(row.agreement_with_student == 1 for row in finished_run.results.candidates)
