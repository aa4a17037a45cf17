from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from pipeline import settings as settings_module
from pipeline.settings import Range, SettingsError, UserError, load_settings, run_script, settings_as_dict


@dataclass(frozen=True)
class Inner:
    steps: Annotated[int, Range(1, 10)]
    rate: Annotated[float | None, Range(0, 1)]
    kind: Literal["mse", "smooth_l1"]


@dataclass(frozen=True)
class Outer:
    training: Inner
    names: tuple[str, ...]
    point: tuple[float, float]
    dry: bool


DEFAULTS = """
training: {steps: 3, rate: 0.5, kind: mse}
names: []
point: [0.8, -0.4]
dry: false
"""


@pytest.fixture(autouse=True)
def config_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(settings_module, "CONFIG_DIR", tmp_path)
    (tmp_path / "phase.yaml").write_text(DEFAULTS)
    return tmp_path


def load(*overrides, config=None):
    return load_settings(Outer, "phase.yaml", config, overrides)


def test_a_file_overrides_defaults_and_the_command_line_overrides_both(tmp_path):
    (tmp_path / "mine.yaml").write_text("training: {steps: 5, rate: 1e-1}\n")
    found = load("training.kind=smooth_l1", "names=[a, b]", "dry=true", config=tmp_path / "mine.yaml")
    assert found == Outer(Inner(5, 0.1, "smooth_l1"), ("a", "b"), (0.8, -0.4), True)
    assert load("training.rate=").training.rate is None
    assert settings_as_dict(found)["training"] == {"steps": 5, "rate": 0.1, "kind": "smooth_l1"}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.step=3", "unknown setting 'training.step'"),
        ("trainin.steps=3", "unknown setting 'trainin'"),
        ("training.steps=11", "'training.steps' is 11, which is not from 1 to 10"),
        ("training.steps=2.5", "'training.steps' is 2.5, which is not a whole number"),
        ("training.steps=true", "not a whole number"),
        ("training.rate=fast", "'training.rate' is 'fast', which is not a number"),
        ("training.rate=.nan", "not a number"),
        ("training.kind=huber", "'training.kind' is 'huber', not one of mse, smooth_l1"),
        ("training=7", "'training' is a section"),
        ("names=a", "'names' is a list"),
        ("point=[1]", "'point' takes 2 values, not 1"),
        ("dry=1", "'dry' is 1, which is not true or false"),
        ("dry", "--set section.key=value"),
        ("training.steps=2020-13-01", "'training.steps' is '2020-13-01', which is not a whole number"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(override, told):
    with pytest.raises(SettingsError) as caught:
        load(override)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["training: [1", "just text", "training: {steps: many}", "stepz: 3", "names: 2020-13-01", "[" * 10_000]
)
def test_an_invalid_file_is_named(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"mine\.yaml"):
        load(config=tmp_path / "mine.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml"):
        load(config=tmp_path / "nowhere.yaml")


def fails(_):
    raise UserError("the folder x is empty: give another")


def full(_):
    raise OSError(28, "No space left on device", "out.csv")


def interrupted(_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "main", "code", "told"),
    [
        ([], fails, 1, "error: the folder x is empty: give another\n"),
        (["--set", "training.steps=0"], fails, 2, "'training.steps' is 0, which is not from 1 to 10\n"),
        ([], full, 1, "error: out.csv: No space left on device"),
        ([], interrupted, 130, "stopped"),
    ],
)
def test_a_script_ends_with_one_line_and_its_code(monkeypatch, capsys, arguments, main, code, told):
    monkeypatch.setattr("sys.argv", ["01_script.py", *arguments])
    with pytest.raises(SystemExit) as caught:
        run_script(Outer, "phase.yaml", "A script.", main)
    assert caught.value.code == code
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_help_shows_every_setting(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["01_script.py", "--help"])
    with pytest.raises(SystemExit):
        run_script(Outer, "phase.yaml", "A script.", fails)
    assert DEFAULTS.strip() in capsys.readouterr().out
