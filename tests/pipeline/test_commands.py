"""`python -m FOLDER NAME …` runs what `python FOLDER/0N_NAME.py …` does, and messages print what works here."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from script_runs import settings_words

from pipeline import settings
from pipeline.commands import scripts_in
from pipeline.files import versions
from pipeline.settings import DISTRIBUTION, PROJECT_ROOT, command

FOLDERS = sorted({path.parent.name for path in PROJECT_ROOT.glob("*/[0-9]*_*.py")})


def run_module(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    """Run `python -m` with these words in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", list(words))
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    return ended.value.code


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_script_is_run_by_its_name_or_alone_without(folder, monkeypatch, capsys) -> None:
    scripts = scripts_in(PROJECT_ROOT / folder)
    assert list(scripts.values()) == sorted((PROJECT_ROOT / folder).glob("0*.py"))
    for words in [*([name] for name in scripts), *([[]] if len(scripts) == 1 else [])]:
        assert run_module(monkeypatch, folder, *words, "--help") == 0
        script = scripts[words[0]] if words else next(iter(scripts.values()))
        usage = " ".join(capsys.readouterr().out.split())
        assert usage.startswith(f"usage: python {folder}/{script.name} [-h] [--config FILE]")


def test_without_a_name_the_scripts_are_listed_with_what_they_do(monkeypatch, capsys) -> None:
    assert run_module(monkeypatch, "process_gigamidi") == 2
    listed = capsys.readouterr().err
    lines = [" ".join(line.split()) for line in listed.splitlines()]
    assert any(line.startswith("annotate Annotate every bar of GigaMIDI") for line in lines)
    assert any(line.startswith("verify Check an output folder") for line in lines)
    assert run_module(monkeypatch, "process_gigamidi", "--help") == 0
    assert capsys.readouterr().out == listed
    assert run_module(monkeypatch, "process_gigamidi", "anotate") == 2
    assert (
        capsys.readouterr().err == f"error: there is no anotate in process_gigamidi (did you mean annotate?)\n{listed}"
    )


def test_a_printed_command_is_one_that_works_here(monkeypatch) -> None:
    assert command("process_gigamidi/02_verify.py") == "python process_gigamidi/02_verify.py"
    monkeypatch.setattr(settings, "IS_CHECKOUT", False)
    assert command("process_gigamidi/02_verify.py") == "python -m process_gigamidi verify"
    assert command("annotate_own_music/01_annotate_file.py") == "python -m annotate_own_music annotate_file"


def test_the_processes_that_convert_do_not_import_torch(sample_dataset: Path, tmp_path: Path) -> None:
    chosen = (f"dataset.path={sample_dataset}", f"output.dir={tmp_path}/out", "dataset.limit=2", "compute.workers=1")
    words = ["-m", "process_gigamidi", "annotate", *settings_words(*chosen, "model.head=bundled_mlp")]
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1", "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    imported = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    assert imported.count("symusic") == 2  # in the run and in the process that converts
    assert imported.count("torch") == 1  # in the run


def test_records_name_the_distribution_as_pip_does() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    assert DISTRIBUTION in versions()
