import argparse
import json
import os
import re
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import pytest
import yaml

from pipeline import settings as settings_module
from pipeline.settings import (
    ONE_OR_MORE,
    PHASES,
    PROJECT_ROOT,
    FilePath,
    Pattern,
    Range,
    SettingsError,
    UserError,
    as_override,
    load_settings,
    path_argument,
    run_script,
    settings_as_dict,
    settings_from,
)
from pipeline.yaml_texts import parsed_yaml


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
    revision: str | None
    folder: FilePath


DEFAULTS = """
training: {steps: 3, rate: 0.5, kind: mse}
names: []
point: [0.8, -0.4]
dry: false
revision: null
folder: output
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
    assert found == Outer(Inner(5, 0.1, "smooth_l1"), ("a", "b"), (0.8, -0.4), True, None, "output")
    assert load("training.rate=null").training.rate is None
    assert settings_as_dict(found)["training"] == {"steps": 5, "rate": 0.1, "kind": "smooth_l1"}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.step=3", "unknown setting 'training.step'"),
        ("trainin.steps=3", "unknown setting 'trainin'"),
        ("training.steps=11", "'training.steps' is 11, which is not from 1 to 10"),
        ("training.steps=2.5", "'training.steps' is '2.5', which is not a whole number"),
        ("training.steps=true", "not a whole number"),
        ("training.rate=fast", "'training.rate' is 'fast', which is not a number"),
        ("training.rate=.nan", "not a number"),
        ("training.kind=huber", "'training.kind' is 'huber', not one of mse, smooth_l1"),
        ("training=7", "'training' is a section"),
        ("names=a", "'names' is a list"),
        ("point=[1]", "'point' takes 2 values, not 1"),
        ("dry=1", "'dry' is '1', which is not true or false"),
        ("dry", "--set section.key=value"),
        ("training.rate=", "nothing after the =; write training.rate=null"),
        ("training.steps=null", "'training.steps' is 'null', which is not a whole number"),
        ("training.steps=" + "9" * 5_000, "'training.steps' is '9999"),
        ("training.steps=!!int x", "'training.steps' is '!!int x', which is not a whole number"),
        ("names=[!!int x]", "the tag tag:yaml.org,2002:int has no meaning"),
        ("names=[a", "'[a' can't be read"),
        ("training={steps", "--set training: '{steps' can't be read"),
        ("folder=", "nothing after the ="),
        ("folder='  '", "'folder' is '', which is no path"),
        ("folder=~nobody-of-this-name/x", "there is no such user"),
        ("folder=caf\udce9", "whose bytes are not UTF-8"),
        ('revision="\\ud800"', "whose bytes are not UTF-8"),
        ("training.steps=2020-13-01", "'training.steps' is '2020-13-01', which is not a whole number"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(override, told):
    with pytest.raises(SettingsError) as caught:
        load(override)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "training: [1",
        "just text",
        "training: {steps: many}",
        "stepz: 3",
        "names: 2020-13-01",
        "[" * 10_000,
        "names: " + "[" * 300_000,
        "{a: " * 300_000,
        "dry: \0",
        "? [a]\n: b",
        "training: {steps: " + "9" * 5_000 + "}",
        "training: {steps: !!int x}",
        "training: {steps: !!python/object/apply:os.getcwd []}",
        "names: &a [*a]",
        "a: " + "x" * 2_000_000,
        'names: ["\\UFFFFFFFF"]',
        "%YAML 1." + "9" * 5_000 + "\n---\ndry: true",
        "names: [" + "a, " * 200_000 + "]",
    ],
)
def test_an_invalid_file_is_named(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"mine\.yaml"):
        load(config=tmp_path / "mine.yaml")


def test_an_alias_is_refused_before_it_is_expanded(tmp_path):
    lists = [f"  - &b{i} [{', '.join([f'*b{i - 1}' if i else 'lol'] * 10)}]" for i in range(20)]
    (tmp_path / "mine.yaml").write_text("\n".join(["training:", *lists]))
    with pytest.raises(SettingsError, match=r"mine\.yaml, line 2: .*aliases"):
        load(config=tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["dry: true\ndry: true", "training: {steps: 1, rate: 1, steps: 2}"])
def test_a_key_that_occurs_twice_is_refused_by_name(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"mine\.yaml, line \d: .*'(dry|steps)' is there twice"):
        load(config=tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "text", ["0123456", "1_000", "12:30:45", "2020-01-01", "on", "1e5", "0x1F", "~x", "[a]", "# b"]
)
def test_a_text_setting_keeps_its_text(tmp_path, text):
    if text[0] not in "[#":
        (tmp_path / "mine.yaml").write_text(f"revision: {text}\n")
        assert load(config=tmp_path / "mine.yaml").revision == text
    (tmp_path / "mine.yaml").write_text(f"revision: '{text}'\n")
    assert load(config=tmp_path / "mine.yaml").revision == text
    assert load(f"revision='{text}'").revision == text


@pytest.mark.parametrize(
    "text",
    ["[1]music", "{a", "'", '"music" (live)', "it's", "null", " a ", "a, b", "0123", "a\nb\t\x1b", "a\u00a0🎵\u2028"],
)
def test_an_override_gives_back_the_same_text(text):
    assert load(f"folder={as_override(text)}").folder == text
    assert load(f"names={as_override([text, 'b'])}").names == (text, "b")


def test_an_override_may_be_a_section():
    assert load("training={steps: 7, rate: null}").training == Inner(7, None, "mse")


def test_a_quoted_number_is_a_text_and_a_quoted_null_is_one_too(tmp_path):
    with pytest.raises(SettingsError, match=r"'training.steps' is '3', which is not a whole number"):
        load("training.steps='3'")
    assert load("revision='null'").revision == "null"
    assert load("revision=null").revision is None


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("folder=~/music").folder == str(tmp_path / "music")
    assert load("folder=a~b").folder == "a~b"
    (tmp_path / "mine.yaml").write_text("dry: true")
    assert load(config="~/mine.yaml").dry


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_config_that_is_no_file_is_refused_at_once(tmp_path, kind):
    (tmp_path / "mine.yaml").mkdir() if kind == "folder" else os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(SettingsError, match=r"mine\.yaml: not a file"):
        load(config=tmp_path / "mine.yaml")


def test_a_home_folder_of_nobody_is_one_line():
    with pytest.raises(SettingsError, match="there is no such user"):
        load(config="~nobody-of-this-name/x.yaml")
    with pytest.raises(argparse.ArgumentTypeError, match="there is no such user"):
        path_argument("~nobody-of-this-name/x")


def test_yaml_of_others_may_have_anchors_tags_and_equal_keys_but_no_billions():
    assert parsed_yaml("a: &x [1, !!str 2]\nb: *x\nb: c", strict=False) == {"a": ["1", "2"], "b": "c"}
    lists = [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else 'lol'] * 10)}]" for i in range(20)]
    with pytest.raises(yaml.YAMLError, match="more than 100,000 values"):
        parsed_yaml("\n".join(lists), strict=False)
    with pytest.raises(yaml.YAMLError, match="more than 20 deep"):
        parsed_yaml("[" * 50, strict=False)
    with pytest.raises(yaml.YAMLError, match="inside itself"):
        parsed_yaml("a: &a [*a]", strict=False)


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


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "x" * 100_000])
def test_what_a_message_names_stays_on_one_line(monkeypatch, capsys, text):
    def told(_):
        raise UserError(f"{text} is not there")

    for arguments, main in ([], told), (["--config", text], told), (["--set", f"{text}=1"], told):
        monkeypatch.setattr("sys.argv", ["01_script.py", *arguments])
        with pytest.raises(SystemExit):
            run_script(Outer, "phase.yaml", "A script.", main)
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and error[:-1].isprintable() and len(error) < 6_000


def test_help_shows_every_setting(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["01_script.py", "--help"])
    with pytest.raises(SystemExit):
        run_script(Outer, "phase.yaml", "A script.", fails)
    assert DEFAULTS.strip() in capsys.readouterr().out


# lists of blocks


@dataclass(frozen=True)
class Size:
    width: int = 4
    depth: int | None = None


@dataclass(frozen=True)
class Block:
    name: Annotated[str, Pattern(r"[a-z][a-z0-9]*", "a name of small letters and digits")]
    reader: Literal["table", "folder", "archive"]
    path: FilePath | None = None
    share: Annotated[float, Range(0, 1)] = 0.5
    only: Annotated[tuple[Literal["left", "right"], ...], ONE_OR_MORE] = ()
    size: Size = Size()


@dataclass(frozen=True)
class Phase:
    use: Annotated[tuple[str, ...], ONE_OR_MORE]
    blocks: tuple[Block, ...]
    run: Inner


BLOCKS = """
use: all
blocks:
  - name: songs
    reader: archive
    size: {depth: 2}
  - {name: clips, reader: folder, path: here, share: 0.25}
run: {steps: 3, rate: 0.5, kind: mse}
"""
SONGS = Block("songs", "archive", size=Size(depth=2))
CLIPS = Block("clips", "folder", "here", 0.25)


def load_phase(*overrides, mine=None):
    """The settings with blocks, after a file of the user with the text `mine`."""
    (settings_module.CONFIG_DIR / "blocks.yaml").write_text(BLOCKS)
    config = None if mine is None else settings_module.CONFIG_DIR / "mine.yaml"
    if config:
        config.write_text(mine)
    return load_settings(Phase, "blocks.yaml", config, overrides)


def test_what_a_block_leaves_out_has_the_default_of_its_class():
    assert load_phase() == Phase(("all",), (SONGS, CLIPS), Inner(3, 0.5, "mse"))
    assert load_phase().blocks[0].size == Size(width=4, depth=2)


def test_a_list_in_a_file_takes_the_place_of_the_default_one():
    mine = "blocks:\n  - {name: mine, reader: table, path: a.csv}\n"
    assert load_phase(mine=mine).blocks == (Block("mine", "table", "a.csv"),)
    assert load_phase(mine="blocks: []").blocks == ()
    assert load_phase(mine=mine + "  - {name: songs, reader: folder}").blocks[1] == Block("songs", "folder")


def test_a_section_in_the_place_of_a_list_changes_blocks_by_name():
    mine = "blocks:\n  clips: {share: 1, size: {width: 9}}\n"
    changed = replace(CLIPS, share=1.0, size=Size(width=9))
    assert load_phase(mine=mine).blocks == (SONGS, changed)


@pytest.mark.parametrize("key", ["blocks.clips", "clips"])
def test_one_setting_of_a_block_is_changed_by_the_name_of_the_block(key):
    assert load_phase(f"{key}.path=there").blocks == (SONGS, replace(CLIPS, path="there"))
    assert load_phase(f"{key}.path=null").blocks == (SONGS, replace(CLIPS, path=None))
    assert load_phase(f"{key}.size.depth=7").blocks[1].size == Size(4, 7)
    assert load_phase(f"{key}.path=there", f"{key}.share=1").blocks[1] == replace(CLIPS, path="there", share=1.0)


def test_the_name_of_a_block_alone_is_its_section_in_a_file_too():
    assert load_phase(mine="songs: {path: music.zip}").blocks == (replace(SONGS, path="music.zip"), CLIPS)


def test_a_block_of_the_users_file_is_changed_by_the_command_line():
    mine = "blocks:\n  - {name: mine, reader: table}\n"
    assert load_phase("mine.path=a.csv", mine=mine).blocks == (Block("mine", "table", "a.csv"),)
    with pytest.raises(SettingsError, match=r"--set blocks\.songs\.path: 'blocks' has no block named 'songs'"):
        load_phase("blocks.songs.path=a.csv", mine=mine)


def test_a_section_of_settings_comes_before_a_block_of_its_name():
    mine = "blocks:\n  - {name: run, reader: table}\n"
    found = load_phase("run.steps=5", mine=mine)
    assert (found.run.steps, found.blocks) == (5, (Block("run", "table"),))
    assert load_phase("blocks.run.path=a.csv", mine=mine).blocks == (Block("run", "table", "a.csv"),)


def test_a_list_of_blocks_may_be_given_on_the_command_line():
    assert load_phase("blocks=[{name: mine, reader: table, only: left}]").blocks == (
        Block("mine", "table", only=("left",)),
    )


@pytest.mark.parametrize(
    ("setting", "given", "found"),
    [
        ("use", "a", ("a",)),
        ("use", "0123", ("0123",)),
        ("use", "'a b'", ("a b",)),
        ("use", "[a, b]", ("a", "b")),
        ("use", "[]", ()),
        ("clips.only", "left", ("left",)),
        ("clips.only", "[right, left]", ("right", "left")),
    ],
)
def test_where_one_or_more_may_stand_a_single_value_is_a_list_of_one(setting, given, found):
    def value(settings):
        return settings.use if setting == "use" else settings.blocks[1].only

    assert value(load_phase(f"{setting}={given}")) == found
    block, _, key = setting.rpartition(".")
    assert value(load_phase(mine=f"{block}: {{{key}: {given}}}" if block else f"{key}: {given}")) == found


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("clips.shar=1", "--set clips.shar: unknown setting 'blocks.clips.shar' (did you mean share?); known "),
        ("clips.size.widht=1", "--set clips.size.widht: unknown setting 'blocks.clips.size.widht' (did you mean "),
        ("blocks.clisp.share=1", "--set blocks.clisp.share: 'blocks' has no block named 'clisp' (did you mean clips?); "
                                 "there are songs, clips"),
        ("clips.share=2", "--set clips.share: 'blocks.clips.share' is 2.0, which is not from 0 to 1"),
        ("blocks.clips.share=2", "--set blocks.clips.share: 'blocks.clips.share' is 2.0, which is not from 0 to 1"),
        ("clips.reader=tabel", "'blocks.clips.reader' is 'tabel', not one of table, folder, archive (did you mean "),
        ("clips.reader=null", "'blocks.clips.reader' is 'null', not one of table, folder, archive"),
        ("clips.only=up", "'blocks.clips.only[0]' is 'up', not one of left, right"),
        ("clips.path=''", "--set clips.path: 'blocks.clips.path' is '', which is no path"),
        ("clips.name=A b", "--set clips.name: 'blocks."),
        ("clips.name=songs", "--set clips.name: 'blocks' has two blocks named 'songs': rename one"),
        ("clips=7", "--set clips: 'blocks"),
        ("clips.size=7", "--set clips.size: 'blocks.clips.size' is a section of settings, not a text"),
        ("blocks=7", "--set blocks: 'blocks' is a list"),
        ("blocks=[7]", "--set blocks: 'blocks' is a list of blocks, each '- name: …', not a list"),
        ("blocks=[{name: a, reader: table}, {name: a, reader: table}]", "--set blocks: 'blocks' has two blocks"),
        ("blocks=[{name: a}]", "--set blocks: setting 'blocks.a.reader' is missing"),
        ("blocks=[{reader: table}]", "--set blocks: setting 'blocks.0.name' is missing"),
        ("blocks=[{name: a, reader: x}]", "--set blocks: 'blocks.a.reader' is 'x'"),
        ("use={a: b}", "'use' is a list, written [a, b]"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_block_is_named_in_one_line(override, told):
    with pytest.raises(SettingsError) as caught:
        load_phase(override)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mine", "told"),
    [
        ("blocks: {clisp: {share: 1}}", "'blocks' has no block named 'clisp' (did you mean clips?)"),
        ("clips: {shar: 1}", "unknown setting 'blocks.clips.shar' (did you mean share?)"),
        ("clips: {share: 2}", "'blocks.clips.share' is 2.0, which is not from 0 to 1"),
        ("blocks: {clips: {size: {width: x}}}", "'blocks.clips.size.width' is 'x', which is not a whole number"),
        ("blocks: {clips: 7}", "'blocks.clips' is a section of settings, not a text"),
        ("blocks: 7", "'blocks' is a list of blocks, each '- name: …', not a text"),
        ("blocks: [7]", "'blocks' is a list of blocks, each '- name: …'"),
        (
            "blocks:\n  - {name: a, reader: table}\n  - {name: a, reader: folder}",
            "has two blocks named 'a': rename one",
        ),
        ("blocks:\n  - {name: a, reader: tabel}", "'blocks.a.reader' is 'tabel', not one of table"),
        ("blocks:\n  - {name: a, reader: table, size: {widht: 2}}", "unknown setting 'blocks.a.size.widht'"),
    ],
)
def test_a_wrong_setting_of_a_block_in_a_file_names_the_file(mine, told):
    with pytest.raises(SettingsError) as caught:
        load_phase(mine=mine)
    assert str(caught.value).startswith(f"{settings_module.CONFIG_DIR / 'mine.yaml'}: ")
    assert told in str(caught.value)


def test_of_a_block_from_a_file_only_what_the_command_line_set_is_named_after_it():
    mine = "blocks:\n  - {name: a, reader: table, share: 3}\n"
    with pytest.raises(SettingsError, match=r"mine\.yaml: 'blocks\.a\.share' is 3"):
        load_phase("a.path=x.csv", mine=mine)
    with pytest.raises(SettingsError, match=r"--set a\.share: 'blocks\.a\.share' is 4"):
        load_phase("a.share=4", mine=mine)
    assert load_phase("a.share=1", mine=mine).blocks[0].share == 1


def test_settings_with_blocks_are_read_back_from_their_record():
    for found in (load_phase(), load_phase("clips.only=[left]", "songs.size.width=9")):
        assert settings_from(Phase, json.loads(json.dumps(settings_as_dict(found))), "run.json") == found
    record = settings_as_dict(load_phase())
    record["blocks"][1]["share"] = 2
    with pytest.raises(SettingsError, match=r"run\.json: 'blocks\.clips\.share' is 2"):
        settings_from(Phase, record, "run.json")


OTHER = "dataset: {path: null}\noutput: {dir: there}\nsets: [{name: mine, path: null}]\n"


def test_a_file_may_hold_the_sections_of_several_phases(config_dir):
    (config_dir / "gigamidi.yaml").write_text(OTHER)
    mine = config_dir / "mine.yaml"
    mine.write_text("training: {steps: 7}\ndataset: {path: songs}\nmine: {path: a.zip}\n")
    assert load_settings(Outer, "phase.yaml", mine).training.steps == 7


def test_a_section_that_no_phase_knows_is_refused(config_dir):
    (config_dir / "gigamidi.yaml").write_text(OTHER)
    mine = config_dir / "mine.yaml"
    mine.write_text("datasets: {path: songs}\n")
    with pytest.raises(SettingsError, match=r"mine\.yaml: unknown setting 'datasets'"):
        load_settings(Outer, "phase.yaml", mine)
    mine.write_text("training: {path: songs}\n")  # a setting is not skipped in a section that the phase has
    with pytest.raises(SettingsError, match=r"unknown setting 'training\.path'"):
        load_settings(Outer, "phase.yaml", mine)
    with pytest.raises(SettingsError, match=r"unknown setting 'dataset'"):  # a typing error on the command line
        load_settings(Outer, "phase.yaml", overrides=["dataset.path=songs"])


def test_sections_under_the_name_of_a_phases_file_are_its_own(config_dir):
    mine = config_dir / "mine.yaml"
    mine.write_text(
        "phase.yaml: {training: {steps: 8}}\ntraining: {steps: 7, rate: 1.0}\ngigamidi.yaml: {training: {steps: 9}}\n"
    )
    settings = load_settings(Outer, "phase.yaml", mine)
    assert (settings.training.steps, settings.training.rate) == (8, 1.0)
    mine.write_text("gigamid.yaml: {training: {steps: 9}}\n")
    with pytest.raises(SettingsError, match=r"did you mean gigamidi\.yaml"):
        load_settings(Outer, "phase.yaml", mine)
    mine.write_text("gigamidi.yaml: [a]\n")
    with pytest.raises(SettingsError, match=r"'gigamidi\.yaml' holds sections of settings, not a list"):
        load_settings(Outer, "phase.yaml", mine)
    mine.write_text("phase.yaml: {training: {step: 9}}\n")
    with pytest.raises(SettingsError, match=r"unknown setting 'training\.step' \(did you mean steps"):
        load_settings(Outer, "phase.yaml", mine)


def test_the_phases_are_those_that_scripts_read():
    names = {
        found[1]
        for path in PROJECT_ROOT.glob("*/*settings.py")
        if (found := re.search(r'^SETTINGS_FILE = "(.*)"', path.read_text("utf-8"), re.MULTILINE))
    }
    assert names | {"analysis.yaml", "export.yaml"} == set(PHASES)
