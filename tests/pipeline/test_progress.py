"""Progress bars are drawn on a terminal and nowhere else."""

from __future__ import annotations

import io
import re

import pytest

from pipeline.progress import progress_bar, progress_steps
from pipeline.settings import PROJECT_ROOT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_for(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in the place of standard error; called in the test, before which pytest sets its own."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    return screen


def test_a_bar_says_what_is_done_and_is_gone_at_the_end(monkeypatch):
    terminal = terminal_for(monkeypatch)
    items = progress_bar(["a", "b"], "reading", "songs")
    assert "reading:   0%" in terminal.getvalue() and "0/2" in terminal.getvalue()
    assert list(items) == ["a", "b"]
    assert terminal.getvalue().split("\r")[-2].strip() == ""


def test_the_step_at_work_is_named_when_it_begins(monkeypatch):
    terminal = terminal_for(monkeypatch)
    with progress_steps(2) as step:
        for name, number in (("groups", "0/2"), ("trajectories", "1/2")):
            step(name)
            assert re.search(rf"{name}: .*{number}", terminal.getvalue().split("\r")[-1])


def test_work_that_is_mostly_short_has_no_bar_while_it_is_short(monkeypatch):
    terminal = terminal_for(monkeypatch)
    assert list(progress_bar(range(3), "encoding", "batches", after=60)) == [0, 1, 2]
    assert "encoding" not in terminal.getvalue()


def test_a_log_has_no_bars(capsys):
    assert list(progress_bar(iter("ab"), "reading", "songs", 2)) == ["a", "b"]
    with progress_steps(1) as step:
        step("groups")
    assert capsys.readouterr().err == ""


def test_every_bar_of_the_project_is_for_a_terminal_only():
    """A bar of tqdm's own would fill a log, so each call says disable=None."""
    calls = [
        (path.name, call)
        for path in PROJECT_ROOT.glob("*/*.py")
        if path.parent.name not in ("tests", "benchmarks", "docs")
        for call in re.findall(r"\btqdm\((?:[^()]|\([^()]*\))*\)", path.read_text(encoding="utf-8"))
    ]
    assert len(calls) >= 3
    assert [call for call in calls if "disable=None" not in call[1]] == []
