"""Formats figures for people. None, meaning unknown, is always an en dash."""

from __future__ import annotations

from edgedistill.evaluation.results_figures import Difference, Estimate

DASH = "–"
_MINUS = "\N{MINUS SIGN}"


def fixed(value: float | None, decimals: int = 2) -> str:
    """A number with that many decimals and a thousands separator."""
    return DASH if value is None else f"{value:,.{decimals}f}".replace("-", _MINUS)


def count(value: int | None) -> str:
    """A whole number with a thousands separator."""
    return fixed(value, 0)


def share(value: float | None) -> str:
    """An agreement, 0 to 1."""
    return fixed(value, 4)


def metric(value: float | None) -> str:
    """A figure of any metric: shares as in recipes and `results.json`, large numbers with fewer decimals."""
    return fixed(value, _decimals(value))


def difference(value: float | None) -> str:
    """A difference of two figures, always signed.

    >>> difference(0.0123), difference(-4500.0)
    ('+0.0123', '−4,500.00')
    """
    return DASH if value is None else f"{value:+,.{_decimals(value)}f}".replace("-", _MINUS)


def _decimals(value: float | None) -> int:
    return 4 if value is None or abs(value) < 100 else 2


def interval(bounds: tuple[float, float] | None, decimals: int | None = None) -> str:
    """A confidence interval in brackets, of a metric unless decimals are given.

    >>> interval((0.9012, 0.95))
    '[0.9012, 0.9500]'
    """
    if bounds is None:
        return DASH
    low, high = (metric(end) if decimals is None else fixed(end, decimals) for end in bounds)
    return f"[{low}, {high}]"


def estimate(found: Estimate | None) -> str:
    """A figure with its interval, if any."""
    if found is None:
        return DASH
    return metric(found.value) + (f" {interval(found.interval)}" if found.interval else "")


def gain(found: Difference | None) -> str:
    """A difference with its interval, all signed."""
    if found is None:
        return DASH
    return difference(found.value) + (f" {difference_interval(found.interval)}" if found.interval else "")


def difference_interval(bounds: tuple[float, float] | None) -> str:
    """The interval of a difference, both ends signed."""
    return DASH if bounds is None else f"[{difference(bounds[0])}, {difference(bounds[1])}]"


def p_value(value: float | None) -> str:
    """A p-value; very small ones as `< 0.001`.

    >>> p_value(0.04567), p_value(2e-9)
    ('0.046', '< 0.001')
    """
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    """Milliseconds, without the unit."""
    return fixed(value, 2 if value is None or value < 100 else 1)


def pace(value: float | None) -> str:
    """A speed figure, with two decimals only if significant."""
    return fixed(value, 0 if value is not None and value >= 100 else 2)


def percentiles(found: tuple[float, float] | None) -> str:
    """The interval of a speed figure."""
    return DASH if found is None else f"[{pace(found[0])}, {pace(found[1])}]"


def millions(value: float | None) -> str:
    """A large number of instructions, in millions."""
    return DASH if value is None else f"{fixed(value / 1e6, 2 if value < 1e8 else 1)} M"


def rate(value: float | None) -> str:
    """Items per second, with a decimal only if significant."""
    return fixed(value, 1 if value is None or value < 100 else 0)


def megabytes(file_bytes: int | None) -> str:
    """Bytes as MB (10^6, as in limits), without the unit."""
    return DASH if file_bytes is None else fixed(file_bytes / 1e6, 2)


def times(value: float | None) -> str:
    """How many times smaller or faster."""
    return DASH if value is None else f"{fixed(value, 1 if value < 100 else 0)}×"


def tiny(value: float | None) -> str:
    """A difference of logits: three decimals, or its order of magnitude when it is rounding noise.

    >>> tiny(0.0123), tiny(2.4e-7)
    ('0.012', '2.4e-07')
    """
    if value is None:
        return DASH
    return "0" if value == 0 else f"{value:.1e}" if abs(value) < 0.001 else f"{value:.3f}"


def parameters(value: int | None) -> str:
    """A number of parameters in thousands, millions or billions.

    >>> parameters(384), parameters(4_321_000), parameters(22_700_000)
    ('384', '4.32 M', '22.7 M')
    """
    if value is None:
        return DASH
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.2f}{unit}" if scaled < 10 else f"{scaled:.1f}{unit}"
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds, in a suitable unit.

    >>> duration(4.2), duration(90), duration(5400), duration(9000)
    ('4.2 s', '90 s', '90 min', '2.5 h')
    """
    if seconds is None:
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plain(value: object) -> str:
    """An arbitrary fact: lists with commas, mappings as `name value`, None as an en dash.

    >>> plain({"opset": 18, "operators": ["Add", "MatMul"], "external": None})
    'opset 18, operators Add, MatMul, external –'
    """
    if value is None or (isinstance(value, list | tuple | dict) and not value):
        return DASH
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return str(value)
