"""Writes the chosen candidate as a self-testing folder; an empty artifact when nothing was chosen."""

from __future__ import annotations

from pathlib import Path

from edgedistill.bundling.write import BundleSources, write_bundle
from edgedistill.data.prepared import PreparedData
from edgedistill.errors import UserError
from edgedistill.evaluation.results import load_results
from edgedistill.steps.kinds.bundle import Inputs, Settings
from edgedistill.store.records.closing import Bundled
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Bundled:
    """Publish the bundle's files."""
    chosen = load_results(inputs.report.path(inputs.report.record.results)).chosen
    if chosen is None:
        context.progress.say("      no candidate was chosen: no bundle")
    else:
        write(settings, inputs, chosen, folder, context.scratch)
    return Bundled(candidate=chosen)


def write(settings: Settings, inputs: Inputs, candidate: str, folder: Path, scratch: Path) -> None:
    """Fill an empty folder with the bundle of one candidate.

    Raises:
        UserError: an unknown candidate, or one that could not be exported or measured.
    """
    results = load_results(inputs.report.path(inputs.report.record.results))
    measured = [result.id for result in results.measured]
    if candidate not in measured:
        unmeasured = next((result for result in results.unmeasured if result.id == candidate), None)
        why = "the run has no such candidate"
        if unmeasured is not None:
            why = f"it {'failed' if unmeasured.state == 'failed' else 'is refused'}: {unmeasured.reason}"
        raise UserError(f"bundle: '{candidate}' cannot be bundled, {why}; expected one of {', '.join(measured)}")
    row = next(planned for planned in settings.candidates if planned.id == candidate)
    sources = BundleSources(
        candidate=candidate,
        task=settings.task,
        report=inputs.report,
        data=PreparedData.of(inputs.data[row.model]),
        model=inputs.models[row.model],
        file=inputs.files[row.file_key],
        verified=inputs.verified[row.verify_key],
        provenance=settings.provenance,
        length=settings.length,
    )
    write_bundle(sources, folder, scratch)
