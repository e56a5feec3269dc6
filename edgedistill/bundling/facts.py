"""`bundle.json` as one typed, closed value, with ranges and consistency checked. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from edgedistill.bundling.fields import Fields, name_problem, shown
from edgedistill.errors import UserError

BUNDLE_SCHEMA = "edgedistill/bundle/2"
_THREADS, _BATCH, _LENGTH, _LABELS, _BYTES = 4096, 65536, 2**24, 2**20, 2**50
_EXAMPLES = 2**50
_TYPES = ("int8", "uint8", "int32", "int64", "float16", "float32", "float64", "bool")
_NOT_NEGATIVE = ("load_ms", "throughput_per_s")
_PERCENTILES = ("p50", "p90", "p95", "p99")


@dataclass(frozen=True)
class PortFacts:
    """An input or output of a file."""

    name: str
    type: str
    """Numpy's name of the type."""
    shape: tuple[int | None, ...] | None
    """A size of None is dynamic; None if the runtime does not report shapes."""


@dataclass(frozen=True)
class ComponentFacts:
    """One component of the model, with the files that the runtime opens: a file, or a folder of device files."""

    opened: tuple[tuple[int | None, str], ...]
    """By input length; None: the one file for all lengths."""
    inputs: tuple[PortFacts, ...]
    """In the file's order."""
    outputs: tuple[PortFacts, ...]

    def as_json(self) -> dict[str, object]:
        """Its form in `bundle.json`."""
        return {
            "files": self.opened,
            "inputs": [asdict(port) for port in self.inputs],
            "outputs": [asdict(port) for port in self.outputs],
        }


@dataclass(frozen=True)
class Facts:
    """A bundle's facts about its candidate. `layout.open_bundle` checks them against the files."""

    recipe: str
    candidate: str
    chosen: bool
    task: str
    options: Mapping[str, object]
    """The task's options from the recipe; omitted if there are none."""
    metric: str
    model: str
    target: str
    precision: str
    runtime: str
    threads: int
    batch: int
    measured: Mapping[str, object]
    """Written by the run."""
    max_abs_diff: float
    """Largest difference of the file's outputs from its PyTorch model, on the run's validation set."""
    file_bytes: int
    components: Mapping[str, ComponentFacts]
    """The file or folder that the runtime opens."""
    device_files: Mapping[str, str]
    """Path in the bundle and sha256 of each file that the device needs."""
    max_length: int | None
    """In tokens; None for a task without them."""
    timed_length: int | None
    labels: int
    """Their number."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the files; none if one file takes all lengths."""
        return tuple(length for length, _ in next(iter(self.components.values())).opened if length is not None)


def read_facts(content: object, where: str) -> Facts:
    """Parse `bundle.json`.

    Raises:
        UserError: another schema; a field that is missing, unknown, of another type or out of range; or fields that
            contradict each other.
    """
    fields = Fields(content, where)
    if (found := fields.take("schema")) != BUNDLE_SCHEMA:
        raise UserError(f"{where}: schema is {shown(found)}, expected '{BUNDLE_SCHEMA}'")
    fields.word("edgedistill")
    fields.mapping("host")
    _check_provenance(fields)
    names = ("recipe", "candidate", "task", "metric", "model", "target", "precision", "runtime")
    words = {name: fields.word(name) for name in names}
    options = fields.mapping("options") if "options" in fields.left() else {}
    threads, batch = fields.integer("threads", 1, _THREADS), fields.integer("batch", 1, _BATCH)
    measured, max_abs_diff, file_bytes = _measured(fields)
    max_length = fields.integer_or_none("max_length", 1, _LENGTH)
    facts = Facts(
        **words,
        options=options,
        chosen=fields.boolean("chosen"),
        threads=threads,
        batch=batch,
        measured=measured,
        max_abs_diff=max_abs_diff,
        file_bytes=file_bytes,
        components=_components(fields, max_length),
        device_files=fields.hashes("device_files"),
        max_length=max_length,
        timed_length=fields.integer_or_none("timed_length", 1, _LENGTH),
        labels=fields.integer("labels", 0, _LABELS),
    )
    fields.end()
    _check_candidate(facts, where)
    return facts


def _check_candidate(facts: Facts, where: str) -> None:
    own = f"{facts.model}/{facts.target}/{facts.precision}/{facts.runtime}"
    if facts.candidate != own and not facts.candidate.startswith(f"{own}@"):
        raise UserError(f"{where}: candidate is {shown(facts.candidate)}, expected '{own}', as in its other fields")
    for _, name in (pair for component in facts.components.values() for pair in component.opened):
        if not any(file == name or file.startswith(f"{name}/") for file in facts.device_files):
            raise UserError(f"{where}: files names {shown(name)}, which is not among its device_files")


def _check_provenance(fields: Fields) -> None:
    for number, content in enumerate(fields.items("provenance")):
        entry = Fields(content, f"{fields.where}: provenance {number}")
        entry.word("role")
        for name in ("name", "licence", "found_in", "origin"):
            if (value := entry.take(name)) is not None and not isinstance(value, str):
                raise entry.refuse(name, value, "a text or null")
        entry.end()


def _measured(fields: Fields) -> tuple[Mapping[str, object], float, int]:
    """The run's figures, the largest difference of the file, and its size."""
    content = fields.mapping("measured")
    own = Fields(content, f"{fields.where}: measured")
    for number, figure in enumerate(own.items("figures")):
        _check_figure(Fields(figure, f"{own.where}: figure {number}"))
    drop = own.fields("drop")
    _check_estimate(drop)
    drop.number_or_none("p", 0, 1)
    drop.word("split")
    drop.end()
    own.number("agreement_with_student", 0, 1)
    for name in _NOT_NEGATIVE:
        own.number_or_none(name, 0)
    own.number_or_none("peak_rss_mb")
    latency = own.fields("latency_ms")
    for name in _PERCENTILES:
        latency.number_or_none(name, 0)
    for name in ("p50_ci", "p95_ci"):
        latency.interval_or_none(name, 0)
    latency.integer("runs", 1, 2**40)
    latency.end()
    off, size = own.number("max_abs_diff", 0), own.integer("file_bytes", 1, _BYTES)
    own.end()
    return content, off, size


def _components(fields: Fields, max_length: int | None) -> Mapping[str, ComponentFacts]:
    """By name, all with files for the same lengths."""
    found: dict[str, ComponentFacts] = {}
    for name, content in fields.mapping("components").items():
        if not name.isidentifier():
            raise fields.refuse("components", name, "names of letters, digits and _")
        entry = Fields(content, f"{fields.where}: components: {name}")
        found[name] = ComponentFacts(_opened(entry, max_length), _ports(entry, "inputs"), _ports(entry, "outputs"))
        entry.end()
    if not found or len({tuple(length for length, _ in component.opened) for component in found.values()}) > 1:
        raise fields.refuse("components", list(found), "at least one, with files of the same lengths for each")
    return found


def _check_figure(figure: Fields) -> None:
    figure.word("metric")
    if (direction := figure.word("direction")) not in ("higher", "lower"):
        raise figure.refuse("direction", direction, "'higher' or 'lower'")
    _check_estimate(figure)
    figure.integer_or_none("examples", 1, _EXAMPLES)
    figure.word("split")
    if (host := figure.take("host")) is not None and not isinstance(host, str):
        raise figure.refuse("host", host, "a text or null")
    figure.end()


def _check_estimate(fields: Fields) -> None:
    fields.number("value")
    low, high = fields.number_or_none("low"), fields.number_or_none("high")
    if (low is None) is not (high is None) or (low is not None and high is not None and low > high):
        raise fields.refuse("low and high", [low, high], "two numbers, the lower first, or null for both")


def _opened(fields: Fields, max_length: int | None) -> tuple[tuple[int | None, str], ...]:
    """The files by length: one for all lengths, or one per length in ascending order."""
    pairs = fields.items("files")
    expected = "pairs of a length (or null, for one file that takes all lengths) and a file, shortest length first"
    found: list[tuple[int | None, str]] = []
    for pair in pairs:
        length, name = pair if isinstance(pair, list) and len(pair) == 2 else (True, None)
        if isinstance(length, bool) or not (length is None or isinstance(length, int)) or not isinstance(name, str):
            raise fields.refuse("files", pairs, expected)
        if (problem := name_problem(name)) is not None:
            raise UserError(f"{fields.where}: files names {shown(name)}, {problem}")
        found.append((length, name))
    lengths = [length for length, _ in found if length is not None]
    alone = len(found) == 1 and not lengths
    ordered = bool(lengths) and len(lengths) == len(found) and lengths == sorted({*lengths}) and lengths[0] >= 1
    if not (alone or ordered):
        raise fields.refuse("files", pairs, expected)
    if lengths and max_length is not None and lengths[-1] != max_length:
        raise fields.refuse("the longest length of files", lengths[-1], f"max_length, {max_length}")
    return tuple(found)


def _ports(fields: Fields, key: str) -> tuple[PortFacts, ...]:
    """Inputs or outputs with unique names."""
    found: dict[str, PortFacts] = {}
    for content in fields.items(key):
        port = Fields(content, f"{fields.where}: {key}")
        name, kind, shape = port.word("name"), port.word("type"), port.take("shape")
        if name in found:
            raise port.refuse("name", name, "each once")
        if kind not in _TYPES:
            raise port.refuse("type", kind, f"one of {', '.join(_TYPES)}")
        sizes = shape if isinstance(shape, list) else []
        good = all(
            size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0) for size in sizes
        )
        if not good or not (shape is None or isinstance(shape, list)):
            raise port.refuse("shape", shape, "a list of sizes, null for any, or null")
        port.end()
        found[name] = PortFacts(name, kind, None if shape is None else tuple(sizes))
    if not found:
        raise fields.refuse(key, [], "at least one")
    return tuple(found.values())
