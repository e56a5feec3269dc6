"""Candidates: one model file under one runtime, threads and batch. One row of the report each."""

from __future__ import annotations

from . import plugins
from .recipe import Recipe
from .spec import Spec


class Candidate(Spec):
    """What is measured: `round` is a round's id, or `teacher`."""

    id: str
    round: str
    target: str
    precision: str
    runtime: str
    threads: int
    batch: int

    @property
    def file_key(self) -> str:
        """Names the model file; candidates that differ in runtime, threads or batch share it."""
        return f"{self.round}-{self.target}-{self.precision}"

    @property
    def verify_key(self) -> str:
        """Names the file under its runtime: what it answers does not depend on how it is timed."""
        return f"{self.file_key}-{self.runtime}"


def candidates(recipe: Recipe) -> tuple[Candidate, ...]:
    """Every candidate of a recipe, round by round; a round on data of its own answers another question and is none."""
    measure = recipe.measure
    setups = [(threads, batch) for threads in measure.threads for batch in measure.batch]
    models = (["teacher"] if recipe.export.teacher else []) + [each.id for each in recipe.rounds if each.data is None]
    found = []
    for model in models:
        for target in recipe.export.targets:
            for quantize in recipe.quantize:
                for runtime in measure.runtimes:
                    if target not in plugins.find("runtimes", runtime).TARGETS:
                        continue
                    for threads, batch in setups:
                        name = f"{model}/{target}/{quantize.precision}/{runtime}"
                        suffix = f"@threads={threads},batch={batch}" if len(setups) > 1 else ""
                        found.append(
                            Candidate(
                                id=name + suffix,
                                round=model,
                                target=target,
                                precision=quantize.precision,
                                runtime=runtime,
                                threads=threads,
                                batch=batch,
                            )
                        )
    return tuple(found)
