"""The content of a step's key: its settings, with references replaced by the content they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

from edgedistill.contracts import registry
from edgedistill.data import views
from edgedistill.planning.fingerprints import Sources
from edgedistill.recipe import references
from edgedistill.recipe.augment import AugmentSpec
from edgedistill.recipe.data_spec import DataSource
from edgedistill.spec import ModelRef, NotInKey, PluginName, PrecisionName, Spec


@dataclass(frozen=True)
class KeyContent:
    """Computes the content of settings from the marks in their fields' types: fingerprints of models and data, versions
    of plug-ins, precisions and runtimes, leaving out what is `NotInKey`."""

    sources: Sources

    def of(self, settings: Spec) -> object:
        """Plain data that is equal exactly if a step would do the same."""
        if isinstance(settings, DataSource):
            return self.sources.fingerprints[settings]
        content: dict[str, object] = {}
        told: set[str] = set()
        """Fields that a fingerprint replaces."""
        for name, field in type(settings).model_fields.items():
            marks = references.marks_of(field)
            told |= {mark.revision for mark in marks if isinstance(mark, ModelRef) and mark.revision is not None}
            if not any(isinstance(mark, NotInKey) for mark in marks):
                content[name] = self._value(getattr(settings, name), settings, marks)
        content = {name: value for name, value in content.items() if name not in told}
        if (version := self._version_of(settings)) is not None:
            content["plug-in"] = version
        return content

    def _value(self, value: object, settings: Spec, marks: tuple[object, ...]) -> object:
        if isinstance(value, Spec):
            return self.of(value)
        if isinstance(value, Mapping):
            return {str(name): self._value(part, settings, marks) for name, part in value.items()}
        if isinstance(value, tuple | list):
            return [self._value(part, settings, marks) for part in value]
        if isinstance(value, str):
            for mark in marks:
                if isinstance(mark, ModelRef):
                    return self.sources.fingerprints[references.model_at(settings, value, mark)]
                if isinstance(mark, PluginName):
                    return [value, self._named(mark.group, value)]
                if isinstance(mark, PrecisionName):
                    target = str(getattr(settings, "target"))  # noqa: B009 - the field that the mark promises
                    how = registry.target(target).precision(value)
                    assert how is not None, "only what a target has is planned"
                    return [value, how.version]
        return value

    def _named(self, group: str, name: str) -> object:
        """The version of a plug-in; for a runtime, its library versions."""
        if group == "runtimes":
            return dict(self.sources.runtimes.get(name, {}))
        return _version(group, name)

    def _version_of(self, spec: Spec) -> object:
        """Name and version of the plug-in with this spec; None for any other spec."""
        if isinstance(spec, AugmentSpec):
            return ["augmentation", views.VERSION]
        found = self._specs.get(type(spec))
        return None if found is None else [*found, _version(*found)]

    @cached_property
    def _specs(self) -> Mapping[type, tuple[str, str]]:
        """The plug-in of each loss's and student's spec."""
        groups: tuple[Literal["tasks", "losses", "students"], ...] = ("tasks", "losses", "students")
        return {spec: (group, name) for group in groups for name, spec in registry.specs(group).items()}


def _version(group: str, name: str) -> int:
    return registry.version(cast(Literal["tasks", "losses", "students", "quantizers", "exporters"], group), name)
