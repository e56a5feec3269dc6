"""Searches the smallest or fastest mix of a model's file whose drop on validation is within a bound.

Each file that is tried answers the whole validation set, item by item, under the runtime, as the fp32 file does: the
drop is that of the primary metric on the same examples, the divergence the mean of the task's own. For latency it is
also timed beside the fp32 file, each in a process of its own with one thread, in ten turns on validation inputs at
their real lengths; their medians are compared. Finished trials survive the process: a search that was interrupted goes
on with the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.mix_search import MixSearch, Tried, in_words
from edgedistill.data.prepared import PreparedData
from edgedistill.evaluation.finished_trials import FinishedTrials
from edgedistill.evaluation.mix_search import Unit, Wanted, search_mix
from edgedistill.exporting.files import read_files
from edgedistill.exporting.jobs import ExportJob
from edgedistill.exporting.onnx_parts import part_sizes
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.judged import EvaluationSet, Judged, answer_and_judge
from edgedistill.measuring.latency import Timed, time_models
from edgedistill.steps.kinds.make_file import Inputs
from edgedistill.steps.kinds.search_mix import Settings
from edgedistill.steps.make_file import Told, export_job, make, record_of
from edgedistill.store.records.files import SearchedFiles
from edgedistill.store.step import Context

_SECONDS = 1.0
"""Minimum time to time a file."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> SearchedFiles:
    """Publish the file of the mix that was found, or of the nearest miss."""
    assert inputs.source is not None, "mixes are made from the fp32 file"
    asked, source = settings.search, read_files(inputs.source)
    sizes = part_sizes(inputs.source.path(source.main))
    units = [Unit(part, layer, weights) for (part, layer), weights in sizes.items()]
    trying = _trying(settings, inputs, context)
    wanted = Wanted(asked.max_drop, asked.prefer, asked.trials, asked.lowest_first)
    found = search_mix(units, wanted, trying)
    job, made = trying.make(found.trials[found.chosen].parts, folder)
    _say(found, context)
    record = record_of(settings.file, job, made)
    facts = {**record.facts, "mix": dict(found.trials[found.chosen].parts)}
    return SearchedFiles.model_validate({**dict(record), "facts": facts, "search": found})


@dataclass
class _Trying:
    """Makes and measures files of mixes."""

    settings: Settings
    job: ExportJob
    judge: Judge
    fp32: DeviceModel
    asked: EvaluationSet
    """Validation, with the answers of the fp32 file."""
    expected: Judged
    inputs: Path
    """Items of validation, for timing."""
    context: Context
    finished: FinishedTrials
    done: int = 0

    def __call__(self, parts: Mapping[str, str]) -> Tried:
        """Measure a mix, or recall what an interrupted process measured."""
        seen = self.finished.of(parts)
        known = "" if seen is None else ", measured before the interruption"
        if seen is None:
            seen = self.measure(parts)
            self.finished.keep(parts, seen)
        self.done += 1
        self.context.progress.say(
            f"      file {self.done} of at most {self.settings.search.trials}: {in_words(parts)}: "
            f"{seen.bytes / 1e6:.2f} MB, drop {seen.drop:.4f}, divergence {seen.divergence:.3g}{known}"
        )
        return seen

    def measure(self, parts: Mapping[str, str]) -> Tried:
        """Make the file of a mix and run it on validation."""
        folder = self.context.scratch / "trial"
        folder.mkdir(exist_ok=True)
        job, _ = self.make(parts, folder)
        file = Path(job.files[0].file)
        files = {name: replace(component, files={None: file}) for name, component in self.fp32.files.items()}
        model = replace(self.fp32, files=files)
        with model.opened(self.context.scratch) as opened:
            found = answer_and_judge(opened, self.judge, self.asked)
        assert found.fidelity is not None, "fp32 answers are expected"
        name = self.settings.task.metric
        return Tried(
            bytes=file.stat().st_size,
            drop=self.judge.metrics[name].gain(self.expected.figures[name], found.figures[name]),
            divergence=float(found.fidelity.divergence.mean()),
            **(self._times(model) if self.settings.search.prefer == "latency" else {}),
        )

    def make(self, parts: Mapping[str, str], folder: Path) -> tuple[ExportJob, list[Told]]:
        """Write the file of a mix into a folder."""
        files = tuple(part._replace(file=str(folder / Path(part.file).name)) for part in self.job.files)
        job = replace(self.job, parts=dict(parts), files=files)
        return job, make(job, self.settings.file.timeout_minutes, self.context)

    def _times(self, model: DeviceModel) -> dict[str, float]:
        """Medians of the fp32 file and this one."""
        both = [
            Timed(name, timed, 1, 1, self.inputs) for name, timed in (("fp32_p50_ms", self.fp32), ("p50_ms", model))
        ]
        timings = time_models(both, self.context.scratch, self.context.progress, min_seconds=_SECONDS)
        for error in timings.failed.values():
            raise error
        return {name: float(str(timing.summary()["p50"])) for name, timing in timings.seen.items()}


def _trying(settings: Settings, inputs: Inputs, context: Context) -> _Trying:
    """What every trial needs, with the answers of the fp32 file."""
    assert inputs.source is not None, "mixes are made from the fp32 file"
    task = registry.task(settings.task.type)
    judge, items = task.judge(settings.task), PreparedData.of(inputs.data).items("validation")
    seconds = 60 * settings.timeout_minutes
    fp32 = DeviceModel(read_files(inputs.source).opened, settings.runtime, settings.task.type, seconds)
    asked = EvaluationSet(items, references=task.data.references(items))
    with fp32.opened(context.scratch) as opened:
        expected = answer_and_judge(opened, judge, asked)
    timed = context.scratch / "timed.safetensors"
    items.save(timed)
    return _Trying(
        settings=settings,
        job=export_job(settings.file, inputs, context.scratch, context),
        judge=judge,
        fp32=fp32,
        asked=replace(asked, expected=expected.answers),
        expected=expected,
        inputs=timed,
        context=context,
        finished=FinishedTrials(context.scratch / "trials"),
    )


def _say(found: MixSearch, context: Context) -> None:
    if found.blocked is not None:
        context.progress.warn(found.blocked)
    else:
        context.progress.say(f"      found {in_words(found.trials[found.chosen].parts)}")
