from __future__ import annotations

from importlib.metadata import version

from edgedistill.isolation import environments


def test_an_environment_gets_the_torch_that_is_here():
    lines = environments.requirements("litert")
    assert f"torch=={version('torch')}" in lines
    assert f"transformers=={version('transformers')}" in lines
    assert "litert-torch>=0.10" in lines
