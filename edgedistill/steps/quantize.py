"""Makes one precision of an exported file."""

from __future__ import annotations

from pathlib import Path

from edgedistill import plugins
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 1


class Settings(Spec):
    """The precision, and the target whose file it starts from."""

    precision: str
    target: str


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish the quantized file under the name that edge clients look for."""
    quantizer = plugins.find("quantizers", settings.precision)
    source = inputs["export"].path(plugins.find("exporters", settings.target).FILE)
    quantizer.quantize(source, folder / quantizer.FILE)
