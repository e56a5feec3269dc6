"""Inputs are named for the manifest and read back from it; what is planned becomes what is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from helpers import made

from edgedistill.recipe.round_spec import Place
from edgedistill.steps.kinds.distil import SignalId
from edgedistill.store import roles
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.closing import Bundled
from edgedistill.store.records.files import FileId


@dataclass(frozen=True)
class Inputs:
    one: Artifact[Bundled]
    maybe: Artifact[Bundled] | None
    several: tuple[Artifact[Bundled], ...]
    signals: Mapping[SignalId, Artifact[Bundled]]
    files: Mapping[FileId, Artifact[Bundled]]
    data: Mapping[str, DataInputs]


def planned(name: str) -> Artifact[Any]:
    """Of whatever kind its role asks for: roles are names only."""
    return Artifact(name, name, Bundled)


def inputs(maybe: bool = True) -> Inputs:
    return Inputs(
        one=planned("a"),
        maybe=planned("b") if maybe else None,
        several=(planned("c"), planned("d")),
        signals={
            SignalId("logits", "r1", Place("train")): planned("e"),
            SignalId("logits", "r1", Place("train", "stage")): planned("f"),
        },
        files={FileId("r1", "ort-mobile", "int8-static"): planned("g")},
        data={"r1": DataInputs(planned("h"), {"test": planned("i")}), "r2": DataInputs(planned("j"))},
    )


def test_every_artifact_has_a_role():
    assert {role: artifact.step for role, artifact in roles.named(inputs()).items()} == {
        "one": "a",
        "maybe": "b",
        "several[0]": "c",
        "several[1]": "d",
        "signals[logits,r1,train,]": "e",
        "signals[logits,r1,train,stage]": "f",
        "files[r1,ort-mobile,int8-static]": "g",
        "data[r1].base": "h",
        "data[r1].splits[test]": "i",
        "data[r2].base": "j",
    }
    assert "maybe" not in roles.named(inputs(maybe=False))


@pytest.mark.parametrize("maybe", [True, False])
def test_inputs_are_read_back_from_their_roles(tmp_path, maybe):
    given = inputs(maybe)
    everything = {role: made(Bundled(candidate=role), tmp_path / role).published for role in roles.named(given)}
    read = roles.restored(Inputs, everything)
    assert list(roles.named(read)) == list(roles.named(given))
    assert read.signals.keys() == given.signals.keys()
    assert read.files.keys() == given.files.keys()
    assert isinstance(next(iter(read.signals)).place, Place)
    for role, artifact in roles.named(read).items():
        if not role.startswith("data"):
            assert isinstance(artifact.record, Bundled)
            assert artifact.record.candidate == role


def test_roles_that_are_missing_or_of_another_step_are_refused(tmp_path):
    everything = {role: made(Bundled(candidate=None), tmp_path / role).published for role in roles.named(inputs())}
    with pytest.raises(ValueError, match="no artifact for the role 'one'"):
        roles.restored(Inputs, {role: artifact for role, artifact in everything.items() if role != "one"})
    with pytest.raises(ValueError, match="Inputs has no role 'other'"):
        roles.restored(Inputs, everything | {"other": everything["one"]})


def test_what_is_made_takes_the_place_of_what_was_planned(tmp_path):
    done = made(Bundled(candidate="x"), tmp_path).published
    read = roles.resolved(inputs(), lambda artifact: done if artifact.step in ("a", "i") else None)
    assert read.one.record.candidate == "x"
    assert read.data["r1"].splits["test"].folder == tmp_path
    with pytest.raises(RuntimeError, match="the artifact of step 'c' is read before it has been built"):
        _ = read.several[0].record


def test_what_is_no_artifact_is_no_input():
    text: Any = "text"
    with pytest.raises(TypeError, match="the input 'one' is 'text', not an artifact"):
        roles.named(Inputs(text, None, (), {}, {}, {}))
