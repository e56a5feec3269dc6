"""A task's part of a recipe."""

from __future__ import annotations

from functools import cache
from typing import Literal, Self

from pydantic import SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from edgedistill.spec import Spec


class TaskSpec(Spec):
    """What the model does, by its hub pipeline name, and what it is judged by.

    `metric: accuracy`, or `metrics: [accuracy, f1_macro]`, the first of which is the primary one: what everything is
    chosen by. The others are reported beside it. A task with options of its own has a spec of its own, with `type` as a
    `Literal`.
    """

    type: str
    metric: str = ""
    """The primary one."""
    metrics: tuple[str, ...] = ()
    """All that are reported, the primary one first."""

    @model_validator(mode="after")
    def _fill(self) -> TaskSpec:
        """Have both forms say the same."""
        if not self.metric and not self.metrics:
            raise ValueError("expected 'metric: NAME', or 'metrics: [NAME, ...]' with the primary one first")
        if self.metric and self.metrics and self.metrics[0] != self.metric:
            raise ValueError(f"expected 'metric' to be the first of 'metrics', got {self.metric!r:.60}")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"expected 'metrics' that differ, got {', '.join(self.metrics):.100}")
        # It is frozen from here on.
        self.__dict__ |= {"metric": self.metric or self.metrics[0], "metrics": self.metrics or (self.metric,)}
        return self

    @property
    def by_primary(self) -> Self:
        """The same with the primary metric alone, which is what training and choosing look at: what is reported beside
        it changes nothing there."""
        return self.model_copy(update={"metrics": (self.metric,)})

    @model_serializer(mode="wrap")
    def _one_form(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """As it is written: one of the two keys."""
        written: dict[str, object] = write(self)
        written.pop("metrics" if len(self.metrics) == 1 else "metric", None)
        return written


@cache
def plain(name: str) -> type[TaskSpec]:
    """The spec of a task without options of its own."""
    return create_model("TaskSpec", __base__=TaskSpec, __doc__=TaskSpec.__doc__, type=(Literal[name], ...))  # type: ignore[arg-type]  # a type made of a value
