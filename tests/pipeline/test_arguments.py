"""Arguments of scripts: what a mistake in them is answered, and what an argument without a name stands for."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import settings as settings_module
from pipeline.arguments import did_you_mean
from pipeline.files import folder_beside
from pipeline.settings import (
    FilePath,
    PositionalSetting,
    load_settings,
    next_command,
    run_command,
    run_script,
    with_same_arguments,
)


@dataclass(frozen=True)
class Where:
    folders: tuple[FilePath, ...]
    dir: FilePath


@dataclass(frozen=True)
class Settings:
    music: Where
    output: Where


DEFAULTS = "music: {folders: [a], dir: b}\noutput: {folders: [c], dir: d}\n"
ONE = PositionalSetting("FOLDER", "music.dir", "the folder")
SEVERAL = PositionalSetting("FOLDER", "music.folders", "the folders", several=True)


@pytest.fixture(autouse=True)
def config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings_module, "CONFIG_DIR", tmp_path)
    (tmp_path / "phase.yaml").write_text(DEFAULTS)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *words: str, positional: PositionalSetting | None = None) -> Settings:
    """The settings that a script with an option --csv of its own is given. Exits as the script does."""
    found: list[Settings] = []

    def main(settings: Settings, arguments: argparse.Namespace) -> None:
        found.append(settings)

    monkeypatch.setattr("sys.argv", ["01_script.py", *words])
    run_command(
        Settings, "phase.yaml", "A script.", main, lambda parser: parser.add_argument("--csv") and None, positional
    )
    return found[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--csvv", "x"], "error: unknown option --csvv (did you mean --csv?); --help lists the arguments\n"),
        (["--sett=a.b=c"], "error: unknown option --sett (did you mean --set?); --help lists the arguments\n"),
        (["--xyzzy"], "error: unknown option --xyzzy; --help lists the arguments\n"),
        (["music.dir=x"], "unknown argument 'music.dir=x' (did you mean --set music.dir=x?)"),
        (["--set", "music.dir=my", "songs"], "unknown argument 'songs': a setting is written --set section.key=value"),
        (["--set"], "error: argument --set: expected one argument; --help lists the arguments\n"),
        (["--a\nb"], "error: unknown option --a b; "),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_line_that_says_what_was_meant(monkeypatch, capsys, words, told):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("musik.dir=x", "unknown setting 'musik' (did you mean music?)"),
        ("music.dri=x", "unknown setting 'music.dri' (did you mean dir?)"),
        ("folders=x", "unknown setting 'folders' (did you mean music.folders or output.folders?)"),
        ("plugh=x", "unknown setting 'plugh'; known here: music, output"),
    ],
)
def test_a_mistyped_setting_is_asked_back_from_the_command_line_and_from_a_file(
    monkeypatch, capsys, config_dir, override, told
):
    key, _, value = override.partition("=")
    section, _, name = key.partition(".")
    (config_dir / "mine.yaml").write_text(f"{section}: {{{name}: {value}}}\n" if name else f"{section}: {value}\n")
    for words in (["--set", override], ["--config", str(config_dir / "mine.yaml")]):
        with pytest.raises(SystemExit):
            run(monkeypatch, *words)
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1


def test_what_was_meant_is_found_in_any_case_and_given_as_it_is_written():
    assert did_you_mean("all.CSV", ["All.csv", "b"]) == " (did you mean All.csv?)"
    assert did_you_mean("all", []) == did_you_mean("all", ["xyz"]) == ""


def test_help_shows_how_values_with_spaces_and_lists_are_written(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--help")
    shown = " ".join(capsys.readouterr().out.split())
    for example in ('--set "export.folders=[output/a, output/b]"', '--set "dataset.path=my music"'):
        assert example in shown
    given = shlex.split('--set "music.folders=[output/a, output/b]" --set "music.dir=my music"')
    read = run(monkeypatch, *given).music
    assert read == Where(("output/a", "output/b"), "my music")


@pytest.mark.parametrize("path", ["out/a b", "null", "[a]", "it's", '"', "ä", "1e3", "#", "a: b"])
def test_a_folder_without_a_name_stands_for_its_setting(monkeypatch, path):
    assert run(monkeypatch, path, positional=ONE).music.dir == path
    assert run(monkeypatch, path, "z", positional=SEVERAL).music.folders == (path, "z")


def test_set_goes_above_the_argument_and_the_argument_above_the_file(monkeypatch, config_dir):
    (config_dir / "mine.yaml").write_text("music: {dir: of_file}\n")
    words = ("--config", str(config_dir / "mine.yaml"))
    assert run(monkeypatch, *words, positional=ONE).music.dir == "of_file"
    assert run(monkeypatch, "given", *words, positional=ONE).music.dir == "given"
    assert run(monkeypatch, "given", *words, "--set", "music.dir=set", positional=ONE).music.dir == "set"


def test_a_folder_that_is_no_path_is_refused_in_one_line(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, " ", positional=ONE)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: argument FOLDER: '' is no path; --help lists the arguments\n"


@pytest.mark.parametrize(("own", "is_recipe"), [("music: {dir: a}", False), ("phase.yaml: {music: {dir: a}}", True)])
def test_the_next_command_has_the_arguments_that_were_typed(monkeypatch, config_dir, own, is_recipe):
    mine = config_dir / "my own.yaml"
    mine.write_text(own)
    commands: list[str] = []

    def main(settings: Settings) -> None:
        commands.append(with_same_arguments("pretrain_model/02_extract_latents.py", "--verify"))
        commands.append(next_command("process_gigamidi/02_verify.py", {"output.dir": "a b"}, settings.music.dir))

    words = ["my music", "--config", str(mine), "--set", "output.folders=[x, y]"]
    monkeypatch.setattr("sys.argv", ["01_script.py", *words])
    run_script(Settings, "phase.yaml", "A script.", main, ONE)
    same, other = map(shlex.split, commands)
    assert same == ["python", "pretrain_model/02_extract_latents.py", "--verify", *words]
    # a file of plain sections was written for this phase: another one has sections of the same names
    config = ["--config", str(mine)] if is_recipe else []
    assert other == ["python", "process_gigamidi/02_verify.py", *config, "my music", "--set", "output.dir=a b"]
    assert load_settings(Settings, "phase.yaml", mine, [words[-1]]).output.folders == ("x", "y")


def test_arguments_may_stand_between_options(monkeypatch):
    assert run(monkeypatch, "a", "--set", "output.folders=[x]", "b", positional=SEVERAL).music.folders == ("a", "b")


def test_a_program_of_ones_own_has_no_recipe(monkeypatch):
    monkeypatch.setattr("sys.argv", ["program.py", "--config"])
    monkeypatch.setattr(settings_module._given, "config", None)
    assert next_command("a/01_b.py", {}) == "python a/01_b.py"


def test_results_go_beside_a_folder_under_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_beside(Path("output/a b"), "analysis") == Path("output/a b-analysis")
    assert folder_beside(Path("output/a/"), "export") == Path("output/a-export")
    assert folder_beside(Path(), "export") == Path(f"{tmp_path}-export")
    (tmp_path / "in").mkdir()
    assert folder_beside(Path("in/.."), "export") == Path(f"{tmp_path}-export")
