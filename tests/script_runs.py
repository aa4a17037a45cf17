"""Runs the project's scripts as a user does, but in the test's own process, which saves the start of Python."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.settings import PROJECT_ROOT


class Done(NamedTuple):
    """The result of a script."""

    returncode: int
    stdout: str
    stderr: str


def run_script(script: str | Path, *words: object, folder: Path | None = None) -> Done:
    """Run a script of the project with the words of a command line, in a folder (default: where the test is)."""
    printed, complained = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        contextlib.chdir(folder or Path.cwd()),
        _command_line(script, *words),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complained),
    ):
        try:
            runpy.run_path(str(PROJECT_ROOT / script), run_name="__main__")
        except SystemExit as ended:
            code = ended.code or 0
            if isinstance(code, str):  # what Python does of sys.exit("text")
                print(code, file=sys.stderr)
                code = 1
    assert isinstance(code, int)
    return Done(code, *(stream.buffer.getvalue().decode("utf-8") for stream in (printed, complained)))


def settings_words(*settings: str) -> list[str]:
    """Settings as words of a command line."""
    return [word for setting in settings for word in ("--set", setting)]


@contextlib.contextmanager
def _command_line(*words: object) -> Iterator[None]:
    before = sys.argv
    sys.argv = [str(word) for word in words]
    try:
        yield
    finally:
        sys.argv = before
