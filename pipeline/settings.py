"""Settings of a phase: YAML file and command line in, one frozen dataclass out.

Every phase has one YAML file in `config/`, which holds the default of every setting. A user's own file names only the
settings that differ; `--set key.sub=value` changes single settings on top. The result is checked: an unknown key, a
wrong type or a value out of range raises `UserError` with one line that names the key and the file. (Libraries for
settings, such as pydantic, report errors in several lines, in terms of classes and without the file.)

Conventions: nested sections are nested frozen dataclasses; the type of a field is `bool`, `int`, `float`, `str`,
`FilePath`, a `Literal` of strings, `X | None`, a `tuple[X, ...]` or a fixed `tuple[X, Y]`. A number's range is written
with its type, `Annotated[int, Range(1, 64)]`, both ends included, and so is a text's form, a `Pattern`.

A user's file may serve several phases: `config/plan.yaml` holds the settings of a whole road, from download to report.
A section that a phase doesn't know is skipped if another phase knows it. Where two phases have a section of one name,
such as `output`, each phase's own is written under the name of its file in `config/` (PHASES).

A list of blocks is a `tuple[X, ...]` of dataclasses with a field `name`, which tells them apart; their settings may
have defaults, and those may be left out. A list in a user's file replaces the one below it; a section in its place
changes blocks by name, as `--set sets.emopia.path=FILE` does, and so does the name alone: `--set emopia.path=FILE`.

A value without quotes means what the type of its setting says: `0123456` is a text for a text setting, where YAML alone
would make it an octal number (yaml_texts.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import re
import shlex
import sys
import time
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import yaml
from tqdm import tqdm

from .arguments import SET_HELP, ScriptParser, did_you_mean, printable
from .processors import limit_threads
from .yaml_texts import LARGEST_FILE, Plain, parsed_yaml, problem_of

DISTRIBUTION = "valence-arousal"  # the name that pip knows, and that records give with the version
PROJECT_ROOT = Path(__file__).resolve().parent.parent  # of a checkout
_INSTALLED_CONFIG = Path(__file__).resolve().parent / "default_settings"  # where a wheel has config/ (pyproject.toml)
IS_CHECKOUT = not _INSTALLED_CONFIG.is_dir()
CONFIG_DIR = PROJECT_ROOT / "config" if IS_CHECKOUT else _INSTALLED_CONFIG
# Of weights. Site-packages may not be written to, and the current folder is another one on each machine of a cluster.
_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # Path fails without a home
DOWNLOADS = PROJECT_ROOT / "weights" if IS_CHECKOUT else Path(_CACHE) / DISTRIBUTION

# The files in config/ that hold the defaults of a phase, in the order of the work; others there are recipes for several
PHASES = ("musetok.yaml", "encode.yaml", "pretrain.yaml", "match.yaml", "gigamidi.yaml", "export.yaml", "analysis.yaml")

SettingsT = TypeVar("SettingsT")

_SUFFIX = ".yaml"
LONGEST_VALUE = 60  # characters of a value in a message
GO_ON = "finished parts are kept, the same command goes on from there"  # ends messages about a run that stops
LONGEST_REASON = 200  # characters


class UserError(Exception):
    """An error that the user can fix. The message says in one line what is wrong, where, and what to do."""

    exit_code = 1


class SettingsError(UserError):
    """A setting that is unknown, of the wrong type or out of range."""

    exit_code = 2


class WeightsError(UserError):
    """A file of weights that can't be used: damaged, hostile, or not what is needed."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """The first line of a library's error message, at most 200 characters; its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def one_line(text: str, longest: int) -> str:
    """A text from outside made fit for a title or a table: one line, printable, at most `longest` characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def reason_line(text: str) -> str:
    """A reason as one line of at most LONGEST_REASON characters."""
    return " ".join(text.split())[:LONGEST_REASON]


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a surrogate pair, by which Python shows bytes that are not UTF-8."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


@dataclasses.dataclass(frozen=True)
class Range:
    """Bounds of a number, both ends included."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        """The range in words, for messages."""
        if math.isinf(self.high):
            return f"{self.low:g} or more"
        return f"from {self.low:g} to {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Pattern:
    """The form of a text, as a regular expression for the whole of it and in words."""

    regex: str
    words: str


@dataclasses.dataclass(frozen=True)
class _IsPath:
    """Marks a text setting as the path of a file or folder."""


FilePath = Annotated[str, _IsPath()]  # ~ at its beginning stands for the user's home folder; it can't be empty


# in `Annotated[tuple[str, ...], ONE_OR_MORE]`: a single value may stand for the list
ONE_OR_MORE = object()


class _Override(Plain):
    """A value as it was written after `--set key=`, which may be a list or section in brackets, or a quoted text."""

    def for_hint(self, hint: Any, name: str) -> Any:
        """The value as a file of settings would give it. Raises SettingsError if a list or section can't be read."""
        in_brackets = hint is dict or typing.get_origin(hint) is tuple
        if self.lstrip()[0] not in ("[{" if in_brackets else "\"'"):
            return Plain(self)
        try:
            return parsed_yaml(self)
        except yaml.YAMLError as error:
            if not in_brackets:  # a text that begins with a quotation mark
                return Plain(self)
            raise SettingsError(f"--set {name}: {_shown(self)} can't be read ({problem_of(error)})") from None


class _Given:
    """What the script at work was given on the command line; nothing in a program of a user's own."""

    config: str | None = None


_given = _Given()


@dataclasses.dataclass(frozen=True)
class PositionalSetting:
    """A positional argument that stands for a setting which is a path or a list of paths.

    name: what --help calls it. key: the setting, "section.key"; `--set` goes above it. several: whether it is a list.
    """

    name: str
    key: str
    help: str
    several: bool = False

    def declare(self, parser: argparse.ArgumentParser) -> None:
        """Add the argument, which may be left out, to a parser."""
        parser.add_argument(
            self.name.lower(), nargs="*" if self.several else "?", type=path_argument, metavar=self.name, help=self.help
        )

    def overrides(self, arguments: argparse.Namespace) -> list[str]:
        """The setting as `--set` takes it; none if the argument was left out."""
        given = getattr(arguments, self.name.lower())
        if not given:
            return []
        return [f"{self.key}={as_override([str(path) for path in given] if self.several else str(given))}"]


def load_settings(
    settings_class: type[SettingsT],
    default_file: str,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> SettingsT:
    """Read the settings of a phase.

    settings_class: a frozen dataclass; a field that has a default may be missing in records of earlier versions.
    default_file: name of the phase's file in `config/`, which holds every setting.
    config: a YAML file whose settings replace the defaults, and which may hold those of other phases too; None takes
    the defaults as they are.
    overrides: "section.key=value" strings, values written as in YAML; they override both files.

    Raises SettingsError with one line that names the setting and where it was set.
    """
    default_path = CONFIG_DIR / default_file
    values: dict[str, Any] = _read_yaml(default_path)
    origin: dict[str, str] = {}
    if config is not None and Path(config).resolve() != default_path:
        for settings in _of_phase(_read_yaml(Path(config)), default_file, values, str(config)):
            _lay_over(values, settings, str(config), origin)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {one_line(override, LONGEST_VALUE)}: write it as --set section.key=value")
        if not text.strip():
            raise SettingsError(f"--set {key}: there is nothing after the =; write {key}=null for none")
        nested: Any = _Override(text)
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _lay_over(values, nested, f"--set {key}", origin)
    return _build(settings_class, values, "", origin, str(config or default_path))


def settings_from(settings_class: type[SettingsT], values: dict[str, Any], file: str) -> SettingsT:
    """The settings in what settings_as_dict wrote. Raises SettingsError, naming the file, if they are not valid."""
    return _build(settings_class, values, "", {}, file)


def command(script: str) -> str:
    """What to type to run a numbered script, given by its path in the project.

    A checkout has `python process_gigamidi/01_annotate.py`, an installed package `python -m process_gigamidi annotate`.
    """
    path = PurePosixPath(script)
    return f"python {script}" if IS_CHECKOUT else f"python -m {path.parent} {command_name(path.name)}"


def command_line(script: str, overrides: Mapping[str, Any], *words: str) -> str:
    """What to type in a shell to run a numbered script with these settings, given by section and key.

    words: arguments that stand before them.
    """
    settings = [word for key, value in overrides.items() for word in ("--set", f"{key}={as_override(value)}")]
    return shlex.join([*command(script).split(), *words, *settings])


def next_command(script: str, overrides: Mapping[str, Any], *words: str) -> str:
    """As `command_line`, for a script of another phase: with the `--config` of this one if it is a recipe."""
    return command_line(script, overrides, *recipe_words(), *words)


def recipe_words() -> list[str]:
    """The words `--config FILE` if the script was given a recipe, the settings of several phases by their files' names.

    A file of plain sections is for the phase that it was written for: others have sections of the same names.
    """
    file = _given.config
    if file is None or not all(key.endswith(_SUFFIX) for key in _read_yaml(Path(file))):
        return []
    return ["--config", file]


def with_same_arguments(script: str, *words: str) -> str:
    """What to type to run a numbered script with the arguments that this one was given, after further words.

    It is for scripts that take the same arguments: the later steps of a phase, or the same script again.
    """
    return shlex.join([*command(script).split(), *words, *sys.argv[1:]])


def command_name(script: str) -> str:
    """The name of a script for `python -m FOLDER NAME`: that of its file without the number and the ending."""
    return re.sub(r"^\d+_|\.py$", "", script)


def run_script(
    settings_class: type[SettingsT],
    default_file: str,
    description: str,
    main: Callable[[SettingsT], None],
    positional: PositionalSetting | None = None,
) -> None:
    """Run a numbered script: parse `--config` and `--set`, call `main(settings)`, report an error in one line.

    positional: the setting that an argument without a name stands for. Exits with 2 for a bad argument, setting or file
    of weights, 1 for any other UserError or an OSError, 130 for ctrl-C.
    """

    def with_settings(settings: SettingsT, arguments: argparse.Namespace) -> None:
        main(settings)

    run_command(settings_class, default_file, description, with_settings, positional=positional)


def run_command(
    settings_class: type[SettingsT],
    default_file: str,
    description: str,
    main: Callable[[SettingsT, argparse.Namespace], None],
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    positional: PositionalSetting | None = None,
) -> None:
    """As `run_script`, for a script with arguments of its own: add_arguments declares them, `main` receives them."""
    default_path = CONFIG_DIR / default_file
    parser = ScriptParser(
        prog=command("/".join(Path(sys.argv[0]).resolve().parts[-2:])),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"The settings and their defaults ({default_path.name}):\n\n"
        + (default_path.read_text(encoding="utf-8") if default_path.exists() else ""),
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file with the settings that differ from the defaults; it may hold those of other scripts too",
    )
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=SET_HELP)
    if positional:
        positional.declare(parser)
    add_arguments(parser)
    arguments = parser.parse_args()
    _given.config = arguments.config
    overrides = [*(positional.overrides(arguments) if positional else []), *arguments.set]
    limit_threads()
    try:
        main(load_settings(settings_class, default_file, arguments.config, overrides), arguments)
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder without write permission: a traceback would not help
        where = error.filename or "a file"
        print(f"error: {printable(f'{where}: {error.strerror or error}')}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def as_override(value: Any) -> str:
    """A setting's value as it is written after `--set key=`, on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_in_quotes(item) if isinstance(item, str) else json.dumps(item) for item in value)}]"
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = value.isprintable() and value.strip() == value and value[:1] not in ("'", '"')
    return value if is_plain and not Plain(value).is_nothing else _in_quotes(value)


def _in_quotes(text: str) -> str:
    """A text in YAML's double quotes."""
    letters = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(letters)}"'


def path_argument(text: str) -> Path:
    """A path given as an argument of its own, not as a setting; ~ at its beginning is the user's home folder.

    Raises argparse.ArgumentTypeError if it is none.
    """
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is no path")
    try:
        return _from_home(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settings_as_dict(settings: Any) -> Any:
    """The settings as plain nested dictionaries and lists, ready for JSON or YAML."""
    if isinstance(settings, tuple):
        return [settings_as_dict(value) for value in settings]
    if not dataclasses.is_dataclass(settings):
        return settings
    return {field.name: settings_as_dict(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def _read_yaml(path: Path) -> dict[str, Any]:
    path = _from_home(str(path))
    try:
        if path.exists() and not path.is_file():  # a named pipe would be waited for
            raise SettingsError(f"{path}: not a file")
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such settings file; the ones that come with the project are in {CONFIG_DIR}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read as a settings file ({type(error).__name__})") from None
    if len(text) > LARGEST_FILE:
        raise SettingsError(f"{path}: longer than {LARGEST_FILE:,} characters, which no settings file is")
    try:
        values = parsed_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = one_line(problem_of(error), 200)
        raise SettingsError(f"{path}{line}: not valid as settings ({problem})") from None
    if isinstance(values, Plain) and values.is_nothing:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: a settings file holds 'key: value' lines, this one holds a {_kind(values)}")
    return values


def _of_phase(
    settings: dict[str, Any], default_file: str, defaults: Mapping[str, Any], source: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a user's file says to one phase: its sections, and those under the name of the phase's own file.

    defaults: of the phase. Sections that only other phases know are left out; one that none knows stays, to be refused.
    Raises SettingsError if a section that is named like a file is not one of PHASES.
    """
    by_file = {key: _or_empty(value) for key, value in settings.items() if key.endswith(_SUFFIX)}
    for key, value in by_file.items():
        if key not in (*PHASES, default_file):
            raise SettingsError(f"{source}: no phase has a file {_shown(key)}{did_you_mean(key, PHASES)}")
        if not isinstance(value, dict):
            raise SettingsError(f"{source}: '{key}' holds sections of settings, not a {_kind(value)}")
    sections = {key: value for key, value in settings.items() if key not in by_file}
    elsewhere = {key for key in sections if not _knows(defaults, key) and _is_of_another_phase(key)}
    return {key: value for key, value in sections.items() if key not in elsewhere}, by_file.get(default_file, {})


def _is_of_another_phase(key: str) -> bool:
    """Whether any phase has a section of that name; asked of those that the phase at work doesn't have."""
    files = (CONFIG_DIR / phase for phase in PHASES)
    return any(_knows(_read_yaml(file), key) for file in files if file.exists())


def _or_empty(section: Any) -> Any:
    """A section of which all lines are comments holds nothing."""
    return {} if isinstance(section, Plain) and section.is_nothing else section


def _knows(defaults: Mapping[str, Any], key: str) -> bool:
    """Whether a phase has a section of that name, or a block in a list of blocks."""
    return key in defaults or _blocks_with(defaults, key) is not None


def _lay_over(below: dict[str, Any], above: dict[str, Any], source: str, origin: dict[str, str], at: str = "") -> None:
    for key, value in above.items():
        name = f"{at}{key}"
        if not at and key not in below and (blocks := _blocks_with(below, key)):
            key, name, value = blocks, f"{blocks}.{key}", {key: value}
        origin[name] = source
        is_section = isinstance(below.get(key), dict)
        if isinstance(value, _Override) and (is_section or (_are_blocks(below.get(key)) and value.lstrip()[0] == "{")):
            value = value.for_hint(dict, name)
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value, source, origin, f"{name}.")
        elif isinstance(value, dict) and _are_blocks(below.get(key)):
            by_name = {str(block.get("name")): block for block in below[key]}
            for block in value:
                if block not in by_name:
                    raise SettingsError(
                        f"{source}: '{key}' has no block named {_shown(block)}{did_you_mean(block, by_name)}; "
                        f"there are {', '.join(by_name) or 'none'}"
                    )
            _lay_over(by_name, value, source, origin, f"{key}.")
            for block in value:
                _check_block(by_name[block], f"{key}.{block}", source)
                _rename(origin, f"{key}.{block}", f"{key}.{by_name[block].get('name')}")
            below[key] = list(by_name.values())
        elif isinstance(value, dict) and key not in below:
            below[key] = {}  # so that each setting within it has its origin
            _lay_over(below[key], value, source, origin, f"{name}.")
        else:
            below[key] = value


def _check_block(block: Any, name: str, source: str) -> None:
    if not isinstance(block, dict):
        raise SettingsError(f"{source}: '{name}' is a section of settings, not a {_kind(block)}")


def _rename(origin: dict[str, str], before: str, after: str) -> None:
    """Keep the origins of a block's settings under its new name."""
    if before != after:
        for key in [key for key in origin if key == before or key.startswith(f"{before}.")]:
            origin[after + key.removeprefix(before)] = origin[key]


def _are_blocks(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _blocks_with(values: Mapping[str, Any], name: str) -> str | None:
    """The list of blocks in which one has this name."""
    lists = (key for key, value in values.items() if _are_blocks(value))
    return next((key for key in lists if any(block.get("name") == name for block in values[key])), None)


def _build(kind: type[SettingsT], values: dict[str, Any], at: str, origin: Mapping[str, str], file: str) -> SettingsT:
    hints = typing.get_type_hints(kind, include_extras=True)
    for key in values:
        if key not in hints:
            where = origin.get(f"{at}{key}", file)
            meant = did_you_mean(key, hints) or _setting_in_sections(key, values if not at else {})
            raise SettingsError(f"{where}: unknown setting '{at}{key}'{meant}; known here: {', '.join(hints)}")
    arguments: dict[str, Any] = {}
    may_be_left_out = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}  # type: ignore[arg-type]
    for key, hint in hints.items():
        name = f"{at}{key}"
        where = origin.get(name, file)
        if key not in values:
            if key in may_be_left_out:
                continue
            raise SettingsError(f"{where}: setting '{name}' is missing")
        if _block_type(hint):
            arguments[key] = _built_blocks(hint, values[key], name, origin, file)
        else:
            arguments[key] = _check(hint, values[key], name, where, origin, file)
    return kind(**arguments)


def _setting_in_sections(key: str, sections: Mapping[str, Any]) -> str:
    """The settings of this name in any section, as a question for a message: the section was probably left out."""
    full = [f"{name}.{key}" for name, section in sections.items() if isinstance(section, dict) and key in section]
    return f" (did you mean {' or '.join(full)}?)" if full else ""


def _block_type(hint: Any) -> type | None:
    """The dataclass of which `hint` is a list; None if it is none."""
    arguments = typing.get_args(hint)
    is_list = typing.get_origin(hint) is tuple and dataclasses.is_dataclass(arguments[0])
    return typing.cast(type, arguments[0]) if is_list else None


def _built_blocks(hint: Any, values: Any, at: str, origin: Mapping[str, str], file: str) -> tuple[Any, ...]:
    """The blocks of a list, each a dataclass. Raises SettingsError if two have one name."""
    where = origin.get(at, file)
    if isinstance(values, _Override):
        values = values.for_hint(hint, at)
    if not _are_blocks(values):
        raise SettingsError(f"{where}: '{at}' is a list of blocks, each '- name: …', not a {_kind(values)}")
    blocks: dict[str, Any] = {}
    for number, block in enumerate(values):
        name = str(block.get("name") or number)
        if name in blocks:
            source = origin.get(f"{at}.{name}.name", where)
            raise SettingsError(f"{source}: '{at}' has two blocks named {_shown(name)}: rename one")
        blocks[name] = _build(typing.cast(type, _block_type(hint)), block, f"{at}.{name}.", origin, where)
    return tuple(blocks.values())


def _check(hint: Any, value: Any, name: str, where: str, origins: Mapping[str, str], file: str) -> Any:
    """The value, converted to the type `hint`. Raises SettingsError if it does not fit."""
    if dataclasses.is_dataclass(hint):
        if isinstance(value, _Override):
            value = value.for_hint(dict, name)
        if not isinstance(value, dict):
            raise SettingsError(f"{where}: '{name}' is a section of settings, not a {_kind(value)}")
        return _build(typing.cast(type, hint), value, f"{name}.", origins, file)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if ONE_OR_MORE in arguments and isinstance(value, str):
        if isinstance(value, _Override):
            value = value.for_hint(tuple[str, ...] if value.lstrip()[0] in "[{" else str, name)
        value = [value] if isinstance(value, str) else value
    if isinstance(value, _Override) and origin not in (typing.Annotated, types.UnionType, typing.Union):
        value = value.for_hint(hint, name)
    if origin is typing.Annotated:
        return _check_marks(arguments[1:], _check(arguments[0], value, name, where, origins, file), name, where)
    if origin is Literal:
        if value not in arguments:
            nearest = did_you_mean(str(value), arguments)
            known = ", ".join(map(str, arguments))
            raise SettingsError(f"{where}: '{name}' is {_shown(value)}, not one of {known}{nearest}")
        return str(value)
    if origin in (types.UnionType, typing.Union):
        if type(None) in arguments and (value is None or (isinstance(value, Plain) and value.is_nothing)):
            return None
        return _check(next(a for a in arguments if a is not type(None)), value, name, where, origins, file)
    if origin is tuple:
        return _check_list(arguments, value, name, where, origins, file)
    if isinstance(value, Plain):
        if value.is_nothing:
            shown = _shown(value) if value else "empty"
            raise SettingsError(f"{where}: '{name}' is {shown}, which is not {_article(hint)}")
        value = value.as_type(hint)
    elif hint is float and type(value) is int:  # from a record in JSON
        value = float(value)
    if isinstance(value, str) and not is_unicode(value):
        raise SettingsError(
            f"{where}: '{name}' is {_shown(value)}, whose bytes are not UTF-8; if it is a path, rename it"
        )
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise SettingsError(f"{where}: '{name}' is {_shown(value)}, which is not {_article(hint)}")
    return value


def _check_marks(marks: Sequence[Any], checked: Any, name: str, where: str) -> Any:
    """A checked value, as the marks of its type want it. Raises SettingsError if it has another range or form."""
    for mark in marks:
        if isinstance(mark, _IsPath):
            checked = _checked_path(checked, name, where)
        elif isinstance(mark, Pattern):
            if not re.fullmatch(mark.regex, checked):
                raise SettingsError(f"{where}: '{name}' is {_shown(checked)}, which is not {mark.words}")
        elif isinstance(mark, Range):
            for number in checked if isinstance(checked, tuple) else (checked,):
                if number is not None and not mark.low <= number <= mark.high:
                    raise SettingsError(f"{where}: '{name}' is {_shown(number)}, which is not {mark}")
    return checked


def _check_list(
    hints: tuple[Any, ...], value: Any, name: str, where: str, origins: Mapping[str, str], file: str
) -> tuple[Any, ...]:
    """A list, each of its values converted. hints: the types of its values, the last `...` if all have the first."""
    if not isinstance(value, list):
        raise SettingsError(f"{where}: '{name}' is a list, written [a, b], not a {_kind(value)}")
    if hints[-1] is Ellipsis:
        hints = (hints[0],) * len(value)
    elif len(value) != len(hints):
        raise SettingsError(f"{where}: '{name}' takes {len(hints)} values, not {len(value)}")
    each = enumerate(zip(hints, value, strict=True))
    return tuple(_check(a, v, f"{name}[{i}]", where, origins, file) for i, (a, v) in each)


def _checked_path(path: str, name: str, where: str) -> str:
    if not path.strip() or "\0" in path:
        raise SettingsError(f"{where}: '{name}' is {_shown(path)}, which is no path")
    try:
        return str(_from_home(path)) if path.startswith("~") else path
    except SettingsError as error:
        raise SettingsError(f"{where}: '{name}': {error}") from None


def _from_home(path: str) -> Path:
    """The path, in which ~ or ~NAME at the beginning stands for a home folder. Raises SettingsError if it has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingsError(f"{_shown(path)}: there is no such user") from None


def _shown(value: Any) -> str:
    """A value as a message shows it: numbers as they were written, texts in quotes."""
    if isinstance(value, str):
        return repr(one_line(value, LONGEST_VALUE))
    try:
        return one_line(str(value), LONGEST_VALUE)
    except ValueError:  # a whole number of thousands of digits
        return "a very long number"


def _kind(value: Any) -> str:
    names = {
        dict: "section",
        list: "list",
        str: "text",
        Plain: "text",
        bool: "true or false",
        int: "number",
        float: "number",
    }
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _article(hint: type) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(hint, hint.__name__)


def say(line: str) -> None:
    """Print a line with the time on standard output; a progress bar on the screen stays below it."""
    tqdm.write(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stdout)
    sys.stdout.flush()


def note(line: str) -> None:
    """Print a line on standard error about a problem that the program handles itself."""
    tqdm.write(f"{time.strftime('%H:%M:%S')}  note: {line}", file=sys.stderr)


def duration_line(seconds: float) -> str:
    """A duration in seconds, minutes or hours, whichever fits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(n: int, noun: str) -> str:
    """A number with its noun, singular or plural: 1 song, 2 songs."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
