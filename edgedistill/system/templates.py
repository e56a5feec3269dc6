"""Jinja as every text of ours is made with: a name that isn't there is an error, and tags leave no empty lines."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def text_templates(package: str, *, escaped: bool = False) -> Environment:
    """The templates of a package.

    Args:
        escaped: of pages, in which texts are escaped; other files keep their last line's end.
    """
    return Environment(
        loader=PackageLoader(package, ""),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not escaped,
    )
