"""Every command in README.md, run in order as it is printed, in a copy of the project, by one shell.

- The commands of GigaMIDI read the samples, which a server in the Hub's place has under GigaMIDI's name.
- `make` takes the environment of the tests for its .venv, as building one takes minutes.
- `make test` only collects the tests, since they are what is running.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fake_hub import FakeHub
from test_documents import DOCUMENTS

from pipeline.settings import PROJECT_ROOT

README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
NOT_RUN = ("hf auth login",)  # it asks for a token of a person's own account, which no test has
MARK = "README, line"  # of what the shell prints before each command
MOST_LINES = 150
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "output", "weights", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)
BUNDLED_WEIGHTS = ("musetok_bridge/weights", "pretrain_model/weights")


def commands(text: str) -> list[tuple[int, str]]:
    """The number of the line and the text of every command: the lines of all blocks without a language."""
    found = []
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if not block[1]:
            for command in re.finditer(r"^(?:.*\\\n)*.+$", block[2], re.MULTILINE):
                found.append((text.count("\n", 0, block.start(2) + command.start()) + 1, command[0]))
    return found


def environment_in(folder: Path) -> None:
    """Make the environment of the tests the .venv of a copy of the project, with nothing to install for make."""
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "lib64", "include", "pyvenv.cfg"):
        if (Path(sys.prefix) / name).exists():
            (venv / name).symlink_to(Path(sys.prefix) / name)
    for marker in set(re.findall(r"\$\(VENV\)/([\w.-]+)(?![\w./-])", MAKEFILE)):
        (venv / marker).touch()


@pytest.fixture
def copy(tmp_path: Path, synthetic: Path) -> Path:
    """A copy of the project as it is checked out, with an environment and some music of a user's own."""
    if not (Path(sys.prefix) / "bin" / "activate").is_file():
        pytest.skip("the tests don't run in a virtual environment")
    folder = tmp_path / "project"
    shutil.copytree(PROJECT_ROOT, folder, ignore=NOT_COPIED)
    for weights in BUNDLED_WEIGHTS:
        shutil.copytree(PROJECT_ROOT / weights, folder / weights)
    environment_in(folder)
    shutil.copy(synthetic / "random_mix.mid", folder / "my_song.mid")
    (folder / "my_midi_files" / "below").mkdir(parents=True)
    shutil.copy(synthetic / "triplets_eighth.mid", folder / "my_midi_files")
    shutil.copy(synthetic / "two_tracks.mid", folder / "my_midi_files" / "below")
    return folder


def run_all(listed: list[tuple[int, str]], folder: Path, hub: FakeHub) -> subprocess.CompletedProcess[str]:
    """Run the commands in one shell, which says each before it runs it and stops at the first that fails."""
    lines = [f"echo {shlex.quote(f'{MARK} {number}: {command}')}\n{command}" for number, command in listed]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTEST_"))}
    environment = {
        **inherited,
        "PYTHONPATH": str(folder),  # before the project that is installed in the environment
        "PYTEST_ADDOPTS": "--collect-only -q",
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "output" / "hf"),
    }
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)],
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.slow  # every command starts processes of its own
def test_every_command_runs_in_order_as_printed(copy: Path, sample_dataset: Path) -> None:
    listed = [(number, command) for number, command in commands(README) if command not in NOT_RUN]
    with FakeHub(sample_dataset) as hub:
        done = run_all(listed, copy, hub)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(MARK) == len(listed)
    assert any(".parquet" in request.path for request in hub.requests)
    output = copy / "output"
    by_style = pd.read_csv(output / "demo" / "annotations-analysis" / "statistics_by_style.csv")
    assert by_style.loc[0, "n_songs"] == 16  # the train split of the samples
    assert {path.stem for path in (output / "own" / "curves").glob("*.png")} == {
        "my_song",
        "triplets_eighth",
        "below_two_tracks",
    }
    own, run = (pd.read_csv(output / name / "bars" / "part-00000.csv") for name in ("mine", "all-mine"))
    pd.testing.assert_frame_equal(
        *(table.sort_values(["md5", "bar_number"]).reset_index(drop=True) for table in (own, run))
    )
    assert len(list((output / "all-mine-analysis" / "curves").glob("*.png"))) == 2
    for name in ("demo/annotations", "gigamidi-train"):
        assert sum(len(pd.read_csv(path)) for path in (output / name / "songs").iterdir()) == 16
    assert (output / "gigamidi-train-analysis" / "report.html").is_file()
    assert list((output / "gigamidi-train-export" / "bars").glob("train-*.parquet"))


def test_the_commands_are_found_and_only_the_login_is_not_run() -> None:
    listed = [command for _, command in commands(README)]
    assert [command for command in listed if command.startswith("make")] != []
    assert [command for command in listed if command.startswith(("hf", "huggingface"))] == list(NOT_RUN)
    assert set(re.findall(r"^(?:\$ *)?(?:python|make|pip|hf) .*", README, re.MULTILINE)) <= set(listed)
    assert re.findall(r"`((?:python|mamba|pip|hf|source) [^`]+)`", README) == []  # in the text, where none is run
    text = "a\n\n```\nmake demo\npython a.py \\\n    --b\n```\n\n```csv\na,b\n```\n"
    assert commands(text) == [(4, "make demo"), (5, "python a.py \\\n    --b")]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT_ROOT).as_posix())
def test_every_make_that_a_document_names_is_a_target(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)(?= *(?:`|#|$))", text, re.MULTILINE))
    assert named - set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)) == set()


def test_the_python_of_the_documents_runs(tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (PROJECT_ROOT / "docs/models.md").read_text("utf-8"), re.M | re.S)
    (tmp_path / "my_midi_files").mkdir()
    for name in ("song.mid", "my_midi_files/another.mid"):
        shutil.copy(synthetic / "random_mix.mid", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/models.md", "exec"), names)
    assert list(names["means"].index) == ["another.mid"]  # type: ignore[attr-defined]
    assert len(names["valence"]) == len(names["codes"]) == len(names["bars"])  # type: ignore[arg-type]
