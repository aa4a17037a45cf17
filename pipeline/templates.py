"""The template engine of the model card, the data card and the report's page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def template_environment(folder: Path, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """Jinja2 for the templates in a folder. Values are escaped unless they are Markup; an unknown name is an error.

    A line that holds only a statement leaves no line behind. finalize: applied to every value before it is escaped.
    """
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
