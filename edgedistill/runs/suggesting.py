"""Estimates the candidates of a recipe before anything is trained, and proposes student shapes that meet its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgedistill.contracts.file_kind import FileKind
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.errors import RecipeError
from edgedistill.exporting.candidates import Candidate, candidates, native_candidates
from edgedistill.exporting.estimates import CandidateEstimate
from edgedistill.measuring import encoder_times
from edgedistill.measuring.encoder_times import RUNTIME, LayerShape, Table
from edgedistill.measuring.encoder_timing import Missing, measure_encoders
from edgedistill.models.meta_sizes import Request
from edgedistill.planning import exact_sizes, make_plan
from edgedistill.planning.candidate_estimates import Lengths, estimate, estimate_candidates, kinds, lengths_of, unfit
from edgedistill.planning.fingerprints import Sources
from edgedistill.planning.shape_grid import StudentLine, grid
from edgedistill.recipe import reading
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.recipe.round_spec import Round
from edgedistill.recipe.schema import Recipe, source_of
from edgedistill.store.progress import Progress

SHOWN = 5
RANKING = (
    "Ranked by the weights of the layers, which is the compute per token, most first: among shapes that meet every "
    "limit, the largest student can keep most of its teacher. Each in the recipe's first precision that meets them."
)


@dataclass(frozen=True)
class Proposal:
    """A student shape that meets the limits."""

    student: StudentLine
    """The `student:` of the recipe."""
    layers: int
    hidden_size: int
    intermediate_size: int
    layer_weights: int
    """Numbers in the matrices that every token passes."""
    estimate: CandidateEstimate
    """In the first precision of the recipe that meets the limits."""


@dataclass(frozen=True)
class Suggestions:
    """Estimates and proposals for a recipe."""

    recipe: str
    limits: Limits
    lengths: Lengths
    estimates: tuple[CandidateEstimate, ...]
    """Of every candidate that is measured."""
    round: str
    """The round whose student the proposals replace."""
    place: str
    """Its student in the recipe: `rounds.1.student`."""
    proposals: tuple[Proposal, ...]
    """The best first."""
    why: str
    """How they are ranked, or why there are none."""
    table: str
    """File of the measured times."""


def suggest_for(recipe: Recipe, sources: Sources, progress: Progress, *, refresh: bool = False) -> Suggestions:
    """Measure the layers that are not in the cache, then estimate.

    Args:
        refresh: measure all of them again.
    """
    shapes = exact_sizes.model_shapes(recipe, sources)
    rows, lengths = candidates(recipe), lengths_of(recipe)
    number, round_ = _last_exported(recipe)
    source = source_of(round_.student) or "teacher"
    reason = unfit(recipe) or _unlimited(recipe.select.limits)
    around = exact_sizes.requests(recipe, sources)
    proposed = _grid(around.get(source), shapes.get(source), source)
    every = {name: (around[name], shape) for name, shape in shapes.items() if shape is not None and name in around}
    if unfit(recipe) is None:
        tried = {} if reason else {name: (request, shape) for name, (request, shape, _) in proposed.items()}
        small = {name: pair for name, pair in tried.items() if _fits(pair[1], recipe)}
        _measure({**every, **small}, recipe, lengths, progress, refresh=refresh)
    times = encoder_times.table()
    found = () if reason else _proposals(recipe, sources, proposed, lengths, times, number)
    return Suggestions(
        recipe=recipe.name,
        limits=recipe.select.limits,
        lengths=lengths,
        estimates=estimate_candidates(rows, recipe, shapes, lengths, times),
        round=round_.id,
        place=f"rounds.{number}.student",
        proposals=found,
        why=reason or (RANKING if found else _nothing(recipe, source, proposed, lengths, times)),
        table=encoder_times.place(),
    )


_Proposed = Mapping[str, tuple[Request, ModelShape, StudentLine]]


def _last_exported(recipe: Recipe) -> tuple[int, Round]:
    """The last round whose student has files; the last one if none has."""
    own = [(number, round_) for number, round_ in enumerate(recipe.rounds) if round_.data is None]
    return own[-1] if own else (len(recipe.rounds) - 1, recipe.rounds[-1])


def _unlimited(limits: Limits) -> str | None:
    if limits.file_mb is None and limits.p95_ms is None:
        return "select.limits has neither file_mb nor p95_ms, so every shape meets them; set one to get proposals"
    return None


def _grid(before: Request | None, source: ModelShape | None, origin: str) -> _Proposed:
    """Shapes of the grid that can be built, with exact sizes."""
    if before is None or source is None or source.weights is None:
        return {}
    lines = {str(number): shape.student(origin, source) for number, shape in enumerate(grid(source))}
    asked = {name: Request(**{**before, "students": [*before["students"], dict(line)]}) for name, line in lines.items()}
    built = exact_sizes.shapes(asked)
    return {name: (asked[name], shape, lines[name]) for name, shape in built.items() if shape.weights is not None}


def _fits(shape: ModelShape, recipe: Recipe) -> bool:
    """Whether a file of some precision is small enough, which is known without measuring."""
    limit = recipe.select.limits.file_mb
    if limit is None:
        return True
    sizes = (estimate(row, kind, shape, Lengths(1, 1, ""), {}).file_mb for row, kind in _own(recipe))
    return any(size is not None and size <= limit for size in sizes)


_Rows = Sequence[tuple[Candidate, FileKind]]


def _own(recipe: Recipe, model: str | None = None) -> _Rows:
    """Candidates with estimates."""
    known = kinds(recipe)
    found = [row for row in native_candidates(candidates(recipe)) if row.runtime == RUNTIME]
    return [(row, known[row.file_key]) for row in found if row.file_key in known and model in (None, row.model)]


def _measure(
    models: Mapping[str, tuple[Request, ModelShape]],
    recipe: Recipe,
    lengths: Lengths,
    progress: Progress,
    *,
    refresh: bool,
) -> None:
    """Measure and cache what is missing for these models."""
    known: Table = {} if refresh else encoder_times.table()
    own = _own(recipe)
    runs = [(row.threads, row.batch) for row, _ in own]
    setups = encoder_times.setups((kind for _, kind in own), runs, dict.fromkeys((lengths.p50, lengths.p95)))
    requests: dict[LayerShape, Request] = {}
    for request, shape in models.values():
        layer = LayerShape.of(shape)
        if layer is not None and any((layer, setup) not in known for setup in setups):
            requests.setdefault(layer, request)
    if requests and setups:
        encoder_times.store(measure_encoders(Missing(requests, setups), progress))


def _proposals(
    recipe: Recipe, sources: Sources, proposed: _Proposed, lengths: Lengths, times: Table, number: int
) -> tuple[Proposal, ...]:
    """The best that a recipe with them plans."""
    rows = _own(recipe, recipe.rounds[number].id)
    found = [
        proposal
        for _, shape, line in proposed.values()
        if (proposal := _proposal(shape, line, rows, recipe.select.limits, lengths, times)) is not None
    ]
    found.sort(key=lambda proposal: proposal.layer_weights, reverse=True)
    kept: list[Proposal] = []
    for proposal in found:
        if len(kept) < SHOWN and _plans(recipe, sources, number, proposal.student):
            kept.append(proposal)
    return tuple(kept)


def _proposal(
    shape: ModelShape, line: StudentLine, rows: _Rows, limits: Limits, lengths: Lengths, times: Table
) -> Proposal | None:
    estimates: Iterator[CandidateEstimate] = (estimate(row, kind, shape, lengths, times) for row, kind in rows)
    first = next((one for one in estimates if one.meets(limits)), None)
    if first is None or shape.weights is None or shape.intermediate_size is None:
        return None
    weights = shape.weights.of_layers
    return Proposal(line, shape.layers, shape.hidden_size, shape.intermediate_size, weights, first)


def _plans(recipe: Recipe, sources: Sources, number: int, student: StudentLine) -> bool:
    """Whether the recipe with this student passes every check of a plan: its losses may need another shape."""
    tree = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    tree["rounds"][number]["student"] = dict(student)
    try:
        make_plan(reading.validate(tree, recipe.name), sources)
    except RecipeError:
        return False
    return True


def _nothing(recipe: Recipe, source: str, proposed: _Proposed, lengths: Lengths, times: Table) -> str:
    """Why there are no proposals, with the shape that comes closest."""
    if not proposed:
        return f"no shapes to propose: '{source}' is not an encoder with a known layout, or its size is not known yet"
    _, round_ = _last_exported(recipe)
    rows, limits = _own(recipe, round_.id), recipe.select.limits
    tried = [
        (excess, shape, one)
        for _, shape, _ in proposed.values()
        for one in (estimate(row, kind, shape, lengths, times) for row, kind in rows)
        if (excess := one.excess(limits)) is not None
    ]
    closest = ""
    if tried:
        _, shape, one = min(tried, key=lambda entry: entry[0])
        size = f"{shape.layers} x {shape.hidden_size} x {shape.intermediate_size} as {one.id}"
        closest = f". Closest: {size} ({'; '.join(one.exceeded(limits)) or 'refused by the checks of a plan'})"
    return (
        f"none of the {len(proposed)} shapes of the grid, down to one layer and a quarter of the width of '{source}', "
        f"meets the limits: raise them, add a smaller precision, or cut the embeddings first "
        f"(init: trim_vocabulary or factorise){closest}"
    )
