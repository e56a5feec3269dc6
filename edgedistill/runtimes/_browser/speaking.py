"""A language model of a bundle in a page of Chromium, by transformers.js and the bundle's own script for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgedistill.runtimes._browser.page import Page

_NAME, _SCRIPT = "bundle", "bundle/examples/run.mjs"


@dataclass(frozen=True)
class SpeakingPage:
    """A page that has the model open."""

    version: str
    """Of transformers.js."""
    _page: Page

    def tokens(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """What the library's tokenizer makes of texts.

        Args:
            special: whether tokens that stand around every text are added.

        Raises:
            EdgedistillError: the library fails.
        """
        found = self._page.ask("tokens", texts=list(texts), special=special)[0]["ids"]
        assert isinstance(found, list)
        return [_numbers(ids) for ids in found]

    def follow(self, ids: Sequence[int], limit: int) -> tuple[list[int], str]:
        """The likeliest tokens that follow, to the text's end, and what was streamed of them.

        Raises:
            EdgedistillError: the library fails.
        """
        facts, _ = self._page.ask("follow", ids=list(ids), limit=limit, script=_SCRIPT)
        return _numbers(facts["said"]), str(facts["text"])


@contextmanager
def speaking(bundle: Path, node_modules: Path) -> Iterator[SpeakingPage]:
    """Open a bundle's model, until the context ends.

    Raises:
        EdgedistillError: Chromium isn't there, or the library doesn't load the model.
    """
    page = Page({"npm": node_modules, _NAME: bundle})
    try:
        facts, _ = page.ask("language", folder=_NAME, script=_SCRIPT)
        yield SpeakingPage(str(facts["version"]), page)
    finally:
        page.close()


def _numbers(values: object) -> list[int]:
    assert isinstance(values, list)
    return [int(value) for value in values]
