"""The Jinja environment of all generated texts: undefined names are errors, and tags leave no empty lines."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def text_templates(package: str, *, escaped: bool = False) -> Environment:
    """The templates of a package.

    Args:
        escaped: escape values, for HTML pages; other files keep their trailing newline.
    """
    return Environment(
        loader=PackageLoader(package, ""),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not escaped,
    )
