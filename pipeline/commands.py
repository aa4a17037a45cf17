"""`python -m FOLDER NAME …`: the numbered scripts of a folder by their names, as an installed package is used.

Each folder with scripts has a `__main__.py` that calls `run_named_script`. In a folder with one script its name may be
left out: `python -m annotate_own_music song.mid`.
"""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from .arguments import did_you_mean
from .settings import command_name


def scripts_in(folder: Path) -> dict[str, Path]:
    """The numbered scripts of a folder by their names, in their order."""
    return {command_name(path.name): path for path in sorted(folder.glob("[0-9]*_*.py"))}


def run_named_script(folder: Path) -> None:
    """Run the script that the command line names, with the words after the name; without a name exit with 2.

    The script becomes the main module, so the processes that it starts by multiprocessing import the script, as they do
    when it is run by its path, and not this module.
    """
    scripts = scripts_in(folder)
    name, words = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if name not in scripts and len(scripts) == 1:
        (name,), words = scripts, sys.argv[1:]
    if name not in scripts:
        is_asked_for = name in ("-h", "--help")
        if name and not is_asked_for:
            print(f"error: there is no {name} in {folder.name}{did_you_mean(name, scripts)}", file=sys.stderr)
        print(_list_of(scripts, folder.name), file=sys.stdout if is_asked_for else sys.stderr)
        sys.exit(0 if is_asked_for else 2)
    sys.argv[1:] = words
    runpy.run_path(str(scripts[name]), run_name="__main__")


def _list_of(scripts: dict[str, Path], package: str) -> str:
    width = max(map(len, scripts))
    lines = [f"  {name:<{width}}  {_first_line_of(path)}" for name, path in scripts.items()]
    return "\n".join([f"usage: python -m {package} NAME …, with --help for the arguments; NAME is one of", *lines])


def _first_line_of(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
