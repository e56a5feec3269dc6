"""onnxruntime-web in a page of headless Chromium: WebAssembly with SIMD, and with threads, since the page is isolated.

Times are measured in the page (`performance.now()` around the run), without the communication between this process and
the page. Memory is that of the page's process, beyond an empty page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgedistill.arrays import Array, Arrays, Floats
from edgedistill.contracts.driver import Port, PortNames, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.onnx_contents import read_onnx
from edgedistill.isolation import environments
from edgedistill.runtimes._browser import chromium, transformers_js
from edgedistill.runtimes._browser.page import Page

PACKAGES = Packages(
    imports=(),
    environment="browser",
    npm=str(Path(__file__).with_name("_browser")),
    programs=(chromium.PROGRAM,),
)


class BrowserGraph:
    """A file opened by onnxruntime-web in its own page."""

    def __init__(self, file: Path, threads: int) -> None:
        data = {f"model/{place.relative_to(file.parent).as_posix()}": place for place in read_onnx(file).weights}
        self._threads = threads
        self._page = Page({"npm": node_modules(), f"model/{file.name}": file, **data})
        try:
            facts, _ = self._page.ask("load", model=f"model/{file.name}", data=list(data), threads=threads)
        except BaseException:
            self.close()
            raise
        self.inputs, self.outputs = _ports(facts["inputs"]), _ports(facts["outputs"])
        self.load_ms = float(str(facts["load_ms"]))
        """Milliseconds to fetch, compile and start the runtime and the model, over the loopback network."""
        self.spent_ms = 0.0
        """Milliseconds measured in the page over all runs so far."""

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped."""
        facts, outputs = self._page.ask("run", feeds_of(self.inputs, feeds))
        self.spent_ms += float(str(facts["ms"]))
        return outputs

    def memory_mb(self) -> tuple[float, float] | None:
        """Peak memory of the page's process beyond the empty page's, and that of the empty page."""
        return self._page.memory_mb()

    def backend(self) -> dict[str, object]:
        """The backend, and the bytes that a visitor downloads.

        Raises:
            EdgedistillError: no SIMD, or fewer threads than requested.
        """
        seen, _ = self._page.ask("backend")
        sent = self._page.downloads
        modules = [Path(path).name for path in sent if path.endswith(".wasm")]
        if not seen["simd"] or modules != ["ort-wasm-simd-threaded.wasm"]:
            raise EdgedistillError(f"this browser runs {', '.join(modules)}, SIMD {seen['simd']}; expected SIMD")
        check_threads(self._threads, seen)
        return {
            "provider": "wasm",
            "module": modules[0],
            "simd": True,
            "threads": seen["threads"],
            "cross_origin_isolated": seen["isolated"],
            "download_bytes": {
                "runtime": sum(size for path, size in sent.items() if path.startswith("npm/")),
                "model": sum(size for path, size in sent.items() if path.startswith("model/")),
            },
        }

    def close(self) -> None:
        """End the page and its Chromium, which otherwise end with this process."""
        self._page.close()


def _ports(told: object) -> dict[str, Port]:
    """The page's description of inputs or outputs: name, type and shape; dynamic sizes are given by name."""
    assert isinstance(told, list)
    return {
        port["name"]: Port(port["type"], [size if isinstance(size, int) else None for size in port["shape"]])
        for port in told
    }


def check_threads(asked: int, seen: Mapping[str, object]) -> None:
    """Compare the requested threads with the page's report: `isolated`, `cores`, `threads` (onnxruntime-web's setting),
    `workers` (started workers, one per thread except the first).

    Raises:
        EdgedistillError: there are fewer.
    """
    if asked == 1:
        return
    if not seen["isolated"]:
        raise EdgedistillError(f"{asked} threads requested, but the page is not isolated, so it has one")
    if int(str(seen["cores"])) < asked:
        raise EdgedistillError(f"{asked} threads requested, but the browser sees {seen['cores']} cores")
    if seen["threads"] != asked or int(str(seen["workers"])) < asked - 1:
        running = min(int(str(seen["threads"])), int(str(seen["workers"])) + 1)
        raise EdgedistillError(f"{asked} threads requested, but onnxruntime-web runs {running}")


def node_modules() -> Path:
    """The folder of the installed node packages.

    Raises:
        UserError: they are not installed, or differ from the lock file.
    """
    environments.interpreter(PACKAGES)
    assert PACKAGES.environment is not None
    return environments.folder(PACKAGES.environment) / "node_modules"


def client_facts(file: Path, texts: Sequence[str], labels: Sequence[str], logits: Floats) -> dict[str, object]:
    """Check that transformers.js gives the same answers as `file` from its published folder.

    Args:
        labels: the model's labels, in the order of their ids.
        logits: (N, C), the file's own for the texts.

    Raises:
        EdgedistillError: the library fails, or uses another file or other labels.
    """
    if transformers_js.published_folder(file) is None:
        return {"transformers.js": "not tried: the file is not onnx/model*.onnx beside config.json and tokenizer.json"}
    found = transformers_js.classify(file, texts, labels, node_modules())
    return {
        "transformers.js": {
            "version": found.version,
            "texts": len(texts),
            **transformers_js.agreement(found.probabilities, logits),
            "download_bytes": dict(found.download_bytes),
        }
    }


def open(file: Path, threads: int, names: PortNames) -> BrowserGraph:
    """Open `file` with `threads` threads; its format has names."""
    return BrowserGraph(file, threads)


def version() -> str:
    """The versions of onnxruntime-web and the browser."""
    package = json.loads((node_modules() / "onnxruntime-web" / "package.json").read_text(encoding="utf-8"))
    return f"{package['version']} in {chromium.version()}"


RUNTIME = Runtime(
    api=1,
    targets=("onnx", "onnx-fused"),
    suffixes=(".onnx",),
    packages=PACKAGES,
    open=open,
    version=version,
    client_facts=client_facts,
    client_tasks=("text-classification",),
)
