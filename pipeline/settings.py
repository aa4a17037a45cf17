"""Settings of a phase: YAML file and command line in, one frozen dataclass out.

Every phase has one YAML file in `config/`, which holds the default of every setting. A user's own file names only the
settings that differ; `--set key.sub=value` changes single settings on top. The result is checked: an unknown key, a
wrong type or a value out of range raises `UserError` with one line that names the key and the file. (Libraries for
settings, such as pydantic, report errors in several lines, in terms of classes and without the file.)

Conventions: nested sections are nested frozen dataclasses; the type of a field is `bool`, `int`, `float`, `str`, a
`Literal` of strings, `X | None`, a `tuple[X, ...]` or a fixed `tuple[X, Y]`; a number's range is written with its type,
`Annotated[int, Range(1, 64)]`, both ends included.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import sys
import time
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from tqdm import tqdm

PROJECT_ROOT = Path(__file__).resolve().parent.parent
CONFIG_DIR = PROJECT_ROOT / "config"

SettingsT = TypeVar("SettingsT")


class UserError(Exception):
    """An error that the user can fix. The message says in one line what is wrong, where, and what to do."""

    exit_code = 1


class SettingsError(UserError):
    """A setting that is unknown, of the wrong type or out of range."""

    exit_code = 2


def first_line(error: BaseException) -> str:
    """The first line of a library's error message, at most 200 characters; its type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def one_line(text: str, longest: int) -> str:
    """A text from outside made fit for a title or a table: one line, printable, at most `longest` characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


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


def load_settings(
    settings_class: type[SettingsT],
    default_file: str,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> SettingsT:
    """Read the settings of a phase.

    settings_class: a frozen dataclass whose fields have no defaults.
    default_file: name of the phase's file in `config/`, which holds every setting.
    config: a YAML file whose settings replace the defaults; None takes the defaults as they are.
    overrides: "section.key=value" strings, values written as in YAML; they override both files.

    Raises SettingsError with one line that names the setting and where it was set.
    """
    default_path = CONFIG_DIR / default_file
    values: dict[str, Any] = _read_yaml(default_path)
    origin: dict[str, str] = {}
    if config is not None and Path(config).resolve() != default_path:
        _lay_over(values, _read_yaml(Path(config)), str(config), origin)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {override}: write it as --set section.key=value")
        try:
            value = yaml.safe_load(text) if text else None
        except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: no such date, for instance
            value = text
        nested: Any = value
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _lay_over(values, nested, f"--set {key}", origin)
    return _build(settings_class, values, "", origin, str(config or default_path))


def settings_from(settings_class: type[SettingsT], values: dict[str, Any], file: str) -> SettingsT:
    """The settings in what settings_as_dict wrote. Raises SettingsError, naming the file, if they are not valid."""
    return _build(settings_class, values, "", {}, file)


def run_script(
    settings_class: type[SettingsT], default_file: str, description: str, main: Callable[[SettingsT], None]
) -> None:
    """Run a numbered script: parse `--config` and `--set`, call `main(settings)`, report an error in one line.

    Exits with 2 for a bad setting, 1 for any other UserError or an OSError, 130 for ctrl-C.
    """
    run_command(settings_class, default_file, description, lambda settings, _: main(settings), lambda parser: None)


def run_command(
    settings_class: type[SettingsT],
    default_file: str,
    description: str,
    main: Callable[[SettingsT, argparse.Namespace], None],
    add_arguments: Callable[[argparse.ArgumentParser], None],
) -> None:
    """As `run_script`, for a script with arguments of its own: add_arguments declares them, `main` receives them."""
    default_path = CONFIG_DIR / default_file
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"The settings and their defaults ({default_path.name}):\n\n"
        + (default_path.read_text(encoding="utf-8") if default_path.exists() else ""),
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file with the settings that differ from the defaults")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="change one setting, e.g. section.key=value"
    )
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        main(load_settings(settings_class, default_file, arguments.config, arguments.set), arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder without write permission: a traceback would not help
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(130)


def settings_as_dict(settings: Any) -> dict[str, Any]:
    """The settings as plain nested dictionaries and lists, ready for JSON or YAML."""
    return {
        f.name: settings_as_dict(v) if dataclasses.is_dataclass(v) else list(v) if isinstance(v, tuple) else v
        for f in dataclasses.fields(settings)
        for v in [getattr(settings, f.name)]
    }


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such settings file; the ones that come with the project are in config/"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read as a settings file ({type(error).__name__})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or first_line(error)
        raise SettingsError(f"{path}{line}: not valid YAML ({problem})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: a settings file holds 'key: value' lines, this one holds a {_kind(values)}")
    return values


def _lay_over(below: dict[str, Any], above: dict[str, Any], source: str, origin: dict[str, str], at: str = "") -> None:
    for key, value in above.items():
        name = f"{at}{key}"
        origin[name] = source
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value, source, origin, f"{name}.")
        else:
            below[key] = value


def _build(kind: type[SettingsT], values: dict[str, Any], at: str, origin: dict[str, str], file: str) -> SettingsT:
    hints = typing.get_type_hints(kind, include_extras=True)
    for key in values:
        if key not in hints:
            where = origin.get(f"{at}{key}", file)
            raise SettingsError(f"{where}: unknown setting '{at}{key}'; known here: {', '.join(hints)}")
    arguments: dict[str, Any] = {}
    for key, hint in hints.items():
        name = f"{at}{key}"
        where = origin.get(name, file)
        if key not in values:
            raise SettingsError(f"{where}: setting '{name}' is missing")
        if dataclasses.is_dataclass(hint):
            if not isinstance(values[key], dict):
                raise SettingsError(f"{where}: '{name}' is a section of settings, not a {_kind(values[key])}")
            arguments[key] = _build(typing.cast(type, hint), values[key], f"{name}.", origin, file)
        else:
            arguments[key] = _check(hint, values[key], name, where)
    return kind(**arguments)


def _check(hint: Any, value: Any, name: str, where: str) -> Any:
    """The value, converted to the type `hint`. Raises SettingsError if it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        checked = _check(arguments[0], value, name, where)
        for bounds in arguments[1:]:
            for number in checked if isinstance(checked, tuple) else (checked,):
                if isinstance(bounds, Range) and number is not None and not bounds.low <= number <= bounds.high:
                    raise SettingsError(f"{where}: '{name}' is {number}, which is not {bounds}")
        return checked
    if origin is Literal:
        if value not in arguments:
            raise SettingsError(f"{where}: '{name}' is {value!r}, not one of {', '.join(map(str, arguments))}")
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _check(next(a for a in arguments if a is not type(None)), value, name, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise SettingsError(f"{where}: '{name}' is a list, written [a, b], not a {_kind(value)}")
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        elif len(value) != len(arguments):
            raise SettingsError(f"{where}: '{name}' takes {len(arguments)} values, not {len(value)}")
        return tuple(_check(a, v, f"{name}[{i}]", where) for i, (a, v) in enumerate(zip(arguments, value, strict=True)))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if hint is str and isinstance(value, int) and not isinstance(value, bool):  # a name or path made of digits
        return str(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise SettingsError(f"{where}: '{name}' is {value!r}, which is not {_article(hint)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "section", list: "list", str: "text", bool: "true or false", int: "number", float: "number"}
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


def counted(n: int, noun: str) -> str:
    """A number with its noun, singular or plural: 1 song, 2 songs."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
