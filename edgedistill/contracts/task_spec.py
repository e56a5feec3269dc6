"""A task's part of a recipe."""

from __future__ import annotations

from functools import cache
from typing import Literal, Self

from pydantic import JsonValue, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from edgedistill.spec import Spec


class TaskSpec(Spec):
    """What the model does, by its hub pipeline name, and what it is judged by.

    `metric: accuracy`, or `metrics: [accuracy, f1_macro]`, the first of which is the primary one: what everything is
    chosen by. The others are reported beside it. A task with options of its own has a spec of its own, with `type` as a
    `Literal`.
    """

    type: str
    metric: str = ""
    """The primary one. Empty only for steps that read and encode data."""
    metrics: tuple[str, ...] = ()
    """All that are reported, the primary one first."""

    @model_validator(mode="after")
    def _fill(self) -> TaskSpec:
        """Have both forms say the same."""
        if self.metric and self.metrics and self.metrics[0] != self.metric:
            raise ValueError(f"expected 'metric' to be the first of 'metrics', got {self.metric!r:.60}")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"expected 'metrics' that differ, got {', '.join(self.metrics):.100}")
        # It is frozen from here on.
        primary = self.metric or next(iter(self.metrics), "")
        self.__dict__ |= {"metric": primary, "metrics": self.metrics or ((primary,) if primary else ())}
        return self

    @property
    def by_primary(self) -> Self:
        """The same with the primary metric alone, which is what training and choosing look at: what is reported beside
        it changes nothing there."""
        return self.model_copy(update={"metrics": (self.metric,)})

    @property
    def without_metrics(self) -> Self:
        """The same for steps that read and encode data: another metric changes nothing there."""
        return self.model_copy(update={"metric": "", "metrics": ()})

    @property
    def options(self) -> dict[str, JsonValue]:
        """What it says besides its type and metrics, as JSON has it."""
        return self.model_dump(mode="json", exclude={"type", "metric", "metrics"})

    @model_serializer(mode="wrap")
    def _one_form(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """As it is written: one of the two keys."""
        written: dict[str, object] = write(self)
        written.pop("metrics" if len(self.metrics) <= 1 else "metric", None)
        return written


@cache
def plain(name: str) -> type[TaskSpec]:
    """The spec of a task without options of its own."""
    return create_model("TaskSpec", __base__=TaskSpec, __doc__=TaskSpec.__doc__, type=(Literal[name], ...))  # type: ignore[arg-type]  # a type made of a value
