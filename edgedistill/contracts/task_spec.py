"""The part of a recipe on its task."""

from __future__ import annotations

from functools import cache
from typing import Literal, Self

from pydantic import JsonValue, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from edgedistill.spec import Spec


class TaskSpec(Spec):
    """The task, named as its Hub pipeline, and its metrics.

    Either `metric: accuracy` or `metrics: [accuracy, f1_macro]`. The first metric is the primary one, used for every
    choice; the others are only reported.
    """

    type: str
    metric: str = ""
    """The primary metric."""
    metrics: tuple[str, ...] = ()
    """All reported metrics, the primary one first."""

    @model_validator(mode="after")
    def _fill(self) -> TaskSpec:
        """Make both forms agree; `metric` is empty only in steps that read and encode data."""
        if self.metric and self.metrics and self.metrics[0] != self.metric:
            raise ValueError(f"expected 'metric' to be the first of 'metrics', got {self.metric!r:.60}")
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"expected distinct 'metrics', got {', '.join(self.metrics):.100}")
        # The spec is frozen from here on.
        primary = self.metric or next(iter(self.metrics), "")
        self.__dict__ |= {"metric": primary, "metrics": self.metrics or ((primary,) if primary else ())}
        return self

    @property
    def by_primary(self) -> Self:
        """The same with the primary metric alone: the others do not affect training or choosing."""
        return self.model_copy(update={"metrics": (self.metric,)})

    @property
    def without_metrics(self) -> Self:
        """The same without metrics, which do not affect reading and encoding data."""
        return self.model_copy(update={"metric": "", "metrics": ()})

    @property
    def options(self) -> dict[str, JsonValue]:
        """The task's own options as JSON, without type and metrics."""
        return self.model_dump(mode="json", exclude={"type", "metric", "metrics"})

    @model_serializer(mode="wrap")
    def _one_form(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Write only one of the two keys."""
        written: dict[str, object] = write(self)
        written.pop("metrics" if len(self.metrics) <= 1 else "metric", None)
        return written


@cache
def plain(name: str) -> type[TaskSpec]:
    """The spec of a task without options of its own."""
    return create_model("TaskSpec", __base__=TaskSpec, __doc__=TaskSpec.__doc__, type=(Literal[name], ...))  # type: ignore[arg-type]  # a type made of a value
