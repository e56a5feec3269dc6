"""Writes the chosen candidate as a folder that tests itself; an empty artifact when nothing was chosen."""

from __future__ import annotations

from pathlib import Path

from edgedistill.candidates import Candidate
from edgedistill.errors import UserError
from edgedistill.provenance import Provenance
from edgedistill.results import load_results
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 4


class Settings(Spec):
    """The candidates that there may be, and where what they are made of comes from."""

    task: str
    candidates: tuple[Candidate, ...]
    provenance: tuple[Provenance, ...]
    length: int | None
    """To which inputs were padded or cut when the candidates were timed; None: their own."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish the bundle's files."""
    chosen = load_results(inputs["report"].path("results.json")).chosen
    if chosen is None:
        context.progress.say("      nothing was chosen: no bundle")
        return
    write(settings, inputs, chosen, folder, context.scratch)


def write(settings: Settings, inputs: Inputs, candidate: str, folder: Path, scratch: Path) -> None:
    """Fill an empty folder with the bundle of one candidate.

    Raises:
        UserError: a candidate that the run doesn't have, or that could not be made or measured.
    """
    from edgedistill.bundling.write import Material, write_bundle
    from edgedistill.data import PreparedData

    results = load_results(inputs["report"].path("results.json"))
    measured = [each.id for each in results.measured]
    if candidate not in measured:
        unmeasured = next((each for each in results.unmeasured if each.id == candidate), None)
        why = "the run has no such candidate"
        if unmeasured is not None:
            why = f"it {'failed' if unmeasured.state == 'failed' else 'is refused'}: {unmeasured.reason}"
        raise UserError(f"bundle: '{candidate}' cannot be bundled, {why}; expected one of {', '.join(measured)}")
    row = next(each for each in settings.candidates if each.id == candidate)
    material = Material(
        candidate=candidate,
        task=settings.task,
        report=inputs["report"],
        data=PreparedData.of(inputs, f"data:{row.model}"),
        model=inputs[f"model:{row.model}"],
        file=inputs[f"file:{row.file_key}"],
        verified=inputs[f"verify:{row.verify_key}"],
        provenance=settings.provenance,
        length=settings.length,
    )
    write_bundle(material, folder, scratch)
