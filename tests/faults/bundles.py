"""Bundles. Oracle: a bundle whose bytes differ from `sha256.txt`, with invalid facts, or that answers a golden input
wrongly, is refused or fails; one that differs only in irrelevant parts passes its test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .bundle_folders.contents import (
    device_files_odd,
    fact_missing,
    fact_odd,
    file_opened_elsewhere,
    file_opened_odd,
    folder_odd,
    golden_rows_not_finite,
    golden_rows_other,
    golden_shapes_odd,
    golden_texts_odd,
    json_broken,
    labels_other,
    model_broken,
    schema_other,
    tokenizer_other,
    tolerance_odd,
    weights_other,
)
from .bundle_folders.copy import Copy, Mutation, write_hashes
from .bundle_folders.files import (
    facts_more,
    file_changed_unvouched,
    file_is_a_folder,
    file_is_a_link,
    file_missing_unvouched,
    files_beside,
    hashes_missing,
    hashes_odd,
    modules_of_the_working_folder,
    words_of_the_card,
    written_otherwise,
)
from .harness import Case, Verdict, judge

COUNT = 80
LIMIT_S = 60.0
NEEDS = ("finished",)


MUTATIONS: tuple[Mutation, ...] = (
    file_changed_unvouched, file_missing_unvouched, file_is_a_folder, file_is_a_link, hashes_odd, hashes_missing,
        written_otherwise,
    words_of_the_card, facts_more, files_beside, modules_of_the_working_folder, json_broken, schema_other,
        fact_missing, fact_odd,
    file_opened_elsewhere, file_opened_odd, device_files_odd, tolerance_odd, golden_rows_not_finite, golden_rows_other,
    golden_shapes_odd, golden_texts_odd, tokenizer_other, labels_other, weights_other, model_broken, folder_odd,
        fact_odd,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated bundle: `measure BUNDLE`."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    case.canary.mkdir()
    bundle = Copy(Path(shutil.copytree(case.world.finished / "bundle", case.path("bundle"))), case.canary)
    mutation(bundle, case.rng)
    if bundle.vouch:
        write_hashes(bundle.path)
    place = "." if bundle.cwd else bundle.path
    out = case.path("results.json")
    outcome = case.command("measure", place, "--min-seconds", "0.1", "--out", out, "--json", cwd=bundle.cwd)
    verdict = judge(case, outcome, bundle.expected, lambda: _differs(case, out), refusals=(2,), failures=(1,))
    return mutation.__name__, verdict


def _differs(case: Case, out: Path) -> str | None:
    """What of the results isn't what the golden test of the undamaged bundle says."""
    found = json.loads(out.read_text(encoding="utf-8"))
    golden = json.loads((case.world.finished / "bundle" / "golden.json").read_text(encoding="utf-8"))
    if not found["golden"]["passed"]:
        return "exit 0, though a golden input was answered wrongly"
    if found["golden"]["items"] != len(golden["items"]) or not found["golden"]["tolerance"] <= golden["tolerance"]:
        return f"passed with {found['golden']['items']} golden inputs within {found['golden']['tolerance']}"
    size = sum(path.stat().st_size for path in (case.world.finished / "bundle").rglob("*.onnx"))
    return None if found["file_bytes"] == size else f"{found['file_bytes']} bytes, the file has {size}"
