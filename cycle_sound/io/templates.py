"""Jinja2 templates, and the style sheets of the pages made from them."""

import re
from collections.abc import Callable
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cycle_sound.io import names

MARKDOWN = re.compile(r"[\\`*~|\[\]]|(?<![^\W_])_|_(?![^\W_])")  # characters with a meaning; _ has none inside a word


def environment(*packages: str, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """The templates below PACKAGE/templates/; of two with one name that of the earlier package.

    Every value is escaped as HTML, after `finalize` where that is given. A name without a value is an error,
    `jinja2.UndefinedError`, not an empty text.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def stylesheet(package: str, name: str) -> Markup:
    """A CSS file beside the modules of a package, for a page's <style>, where nothing may be escaped."""
    return Markup(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


def markdown(value: Any) -> Markup:
    """A value inside a line or a table of Markdown: what could be markup is escaped, line breaks become spaces.

    For `finalize`. What is Markup already stays as it is.
    """
    if isinstance(value, Markup):
        return value
    return Markup(MARKDOWN.sub(r"\\\g<0>", escape(names.one_line(str(value)))))
