"""Print docs/reference.md: every setting and every column, from the code and config/*.yaml that define them.

    python docs/make_reference.py > docs/reference.md

Types and ranges of settings come from the settings classes, defaults and meanings from the YAML files: the comment
beside a setting, continued on the lines below it, or else the comment lines above it. Of a list of blocks, the comment
lines above it give the meanings, each after the names that it is for and spaces, and the class the defaults.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from analyze_emotion_annotations.analysis_settings import AnalysisSettings
from musetok_bridge.encoding_settings import EncodingSettings
from musetok_bridge.tokenizer_settings import TokenizerSettings
from pipeline.columns_document import columns_chapter
from pipeline.settings import CONFIG_DIR, ONE_OR_MORE, FilePath, Pattern, Range, as_override, load_settings
from pretrain_model.pretrain_settings import PretrainSettings
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.match_settings import RatingMatchSettings
from publish_annotations.export_settings import ExportSettings

FILES: tuple[tuple[str, type, str], ...] = (
    (
        "gigamidi.yaml",
        AnnotationSettings,
        "`process_gigamidi/01_annotate.py` and `02_verify.py`; `annotate_own_music/01_annotate_file.py` uses its "
        "sections `model`, `bars`, `limits` and `compute`",
    ),
    ("analysis.yaml", AnalysisSettings, "the scripts of `analyze_emotion_annotations/`"),
    ("export.yaml", ExportSettings, "`publish_annotations/01_export.py`"),
    ("pretrain.yaml", PretrainSettings, "the scripts of `pretrain_model/`"),
    ("match.yaml", RatingMatchSettings, "`process_gigamidi/03_match_ratings.py`"),
    (
        "musetok.yaml",
        TokenizerSettings,
        "`musetok_bridge/01_download_musetok.py` and `02_train_tokenizer.py`",
    ),
    ("encode.yaml", EncodingSettings, "`musetok_bridge/03_encode.py`"),
)
_SETTING = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>[^#]*)(?P<comment>#.*)?")
_COMMENT = re.compile(r" *#")
_VALUE = re.compile(r" *# {3,}(\w+) {2,}(.+)")
_OF_BLOCK = re.compile(r"# {3}(?P<names>\w+(?:, \w+)*) {2,}(?P<meaning>\S.*)")
_CONTINUED = re.compile(r"# {5,}(\S.*)")


class Setting(NamedTuple):
    """A setting as the reference lists it. name: with its section."""

    name: str
    form: str
    default: str
    meaning: str


def meanings(text: str) -> dict[str, str]:
    """What the comments of a YAML file say about each of its settings and sections, by the full name."""
    found: dict[str, str] = {}
    above: list[str] = []
    path: list[tuple[int, str]] = []  # the sections that the line is in, and the last key, with their indents
    column = -1  # of the last comment beside a key
    for line in text.splitlines():
        if setting := _SETTING.fullmatch(line):
            indent = len(setting["indent"])
            path = [(at, key) for at, key in path if at < indent] + [(indent, setting["key"])]
            beside = setting["comment"]
            said = " ".join([*above, *([_words(beside)] if beside else [])])
            found[".".join(key for _, key in path)] = said.replace(": ;", ":").replace(" ;", ";")
            above, column = [], setting.start("comment")
        elif comment := _COMMENT.match(line):
            if comment.end() - 1 == column:
                found[".".join(key for _, key in path)] += f" {_words(line)}"
            else:
                above.append(_words(line))
                column = -1
        elif not line.strip():
            above = []  # a comment that stands alone is not about the next setting
    return found


def _words(comment: str) -> str:
    """The text of a comment; a line of a list of values becomes "; VALUE: its meaning"."""
    value = _VALUE.fullmatch(comment)
    return f"; {value[1]}: {value[2]}" if value else comment.strip().lstrip("#").strip()


def form(hint: Any) -> str:
    """The type and range of a setting in words."""
    if hint == FilePath:
        return "path"
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Annotated and ONE_OR_MORE in arguments:
        each = form(typing.get_args(arguments[0])[0])
        return f"{each}, or a list of such" if each.isalpha() else f"one of {each}, or a list of these"
    if origin is typing.Annotated:
        return ", ".join([form(arguments[0]), *filter(None, map(_limit, arguments[1:]))])
    if origin is Literal:
        *names, last = (f"`{name}`" for name in arguments)
        return f"{', '.join(names)} or {last}" if names else last
    if origin in (types.UnionType, typing.Union):
        return " or ".join("null" if each is type(None) else form(each) for each in arguments)
    if origin is tuple:
        each = f"each {form(arguments[0])}"
        return f"list, {each}" if arguments[-1] is Ellipsis else f"list of {len(arguments)}, {each}"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}[hint]


def _limit(mark: object) -> str:
    if isinstance(mark, Pattern):
        return mark.words
    assert isinstance(mark, Range)
    return f"{_end(mark.low)} or more" if math.isinf(mark.high) else f"{_end(mark.low)} to {_end(mark.high)}"


def _end(end: float) -> str:
    return f"{int(end):,}" if end == int(end) else f"{end:g}"


def settings_of(section: Any, said: dict[str, str], at: str = "") -> Iterator[Setting]:
    """Every setting of a section of default settings, with those of the sections within it."""
    hints = typing.get_type_hints(type(section), include_extras=True)
    for field in dataclasses.fields(section):
        name, value = f"{at}{field.name}", getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from settings_of(value, said, f"{name}.")
        else:
            default = f"{value:_}" if type(value) is int else as_override(value)
            yield Setting(name, form(hints[field.name]), default, said[name])


def section_tables(file: str, kind: type) -> Iterator[str]:
    """The settings of a YAML file as Markdown, a heading and a table for each section."""
    defaults: Any = load_settings(kind, file)
    said = meanings((CONFIG_DIR / file).read_text(encoding="utf-8"))
    for field in dataclasses.fields(defaults):
        section = getattr(defaults, field.name)
        if isinstance(section, tuple):
            yield block_tables(file, field.name, typing.get_args(typing.get_type_hints(kind)[field.name])[0], section)
            continue
        comment, about = said[field.name], (type(section).__doc__ or "").splitlines()[0]
        if comment.endswith(".py"):  # the script that the section is for
            about = f"For `{comment}`. {about}"
        elif comment:
            about = _cell(f"{comment[0].upper()}{comment[1:]}.")
        rows = [
            f"| `{name}` | {_cell(form)} | `{default}` | {_cell(meaning)} |"
            for name, form, default, meaning in settings_of(section, said, f"{field.name}.")
        ]
        table = "\n".join(["| setting | type and range | default | meaning |", "|---|---|---|---|", *rows])
        yield f"#### `{field.name}`\n\n{about}\n\n{table}"


def block_tables(file: str, name: str, kind: type, blocks: Sequence[Any]) -> str:
    """A list of blocks as Markdown: what a block may set, and what those of the default settings are."""
    about, said = block_meanings((CONFIG_DIR / file).read_text(encoding="utf-8"), name)
    hints = typing.get_type_hints(kind, include_extras=True)
    rows = []
    for field in dataclasses.fields(kind):
        default, hint = field.default, hints[field.name]
        if dataclasses.is_dataclass(hint):
            shape, shown = _section_form(hint), _section_default(default)
        else:
            shape, shown = form(hint), "none: it must be given" if default is dataclasses.MISSING else _shown(default)
        rows.append(f"| `{name}.NAME.{field.name}` | {_cell(shape)} | {shown} | {_cell(said[field.name])} |")
    table = "\n".join(["| setting | type and range | default | meaning |", "|---|---|---|---|", *rows])
    listed = [f"- `{block.name}`: {', '.join(_differing(block))}" for block in blocks]
    return f"#### `{name}`\n\n{about}\n\n{table}\n\nThe default list has\n\n" + "\n".join(listed)


def block_meanings(text: str, name: str) -> tuple[str, dict[str, str]]:
    """What the comment lines above a list say: of the list, and of each setting of its blocks."""
    lines = text.splitlines()
    end = lines.index(f"{name}:")
    begin = max((i + 1 for i in range(end) if not lines[i].startswith("#")), default=0)
    about: list[str] = []
    said: dict[str, str] = {}
    names: list[str] = []
    for line in lines[begin:end]:
        if begun := _OF_BLOCK.fullmatch(line):
            names = begun["names"].split(", ")
            said |= dict.fromkeys(names, begun["meaning"])
        elif names and (more := _CONTINUED.fullmatch(line)):
            said |= {each: f"{said[each]} {more[1]}" for each in names}
        else:
            about.append(_words(line))
            names = []
    first, _, settings = " ".join(about).partition(" Settings of a block")
    return _cell(first) + (" A block may leave out all settings that have a default." if settings else ""), said


def _section_form(kind: Any) -> str:
    """The settings of a section within a block, in one cell."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names: dict[str, list[str]] = {}
    for key, hint in hints.items():
        names.setdefault(form(hint), []).append(f"`{key}`")
    return "section: " + "; ".join(f"{', '.join(keys)}, each {shape}" for shape, keys in names.items())


def _section_default(section: Any) -> str:
    values = {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}
    if all(value is None for value in values.values()):
        return "`{}`"
    return "`{" + ", ".join(f"{key}: {as_override(value)}" for key, value in values.items()) + "}`"


def _shown(default: Any) -> str:
    return f"`{default:_}`" if type(default) is int else f"`{as_override(default)}`"


def _differing(block: Any) -> Iterator[str]:
    """The settings in which a block differs from the defaults of its class, its name excepted."""
    for field in dataclasses.fields(block):
        value = getattr(block, field.name)
        if field.name == "name" or value == field.default:
            continue
        if dataclasses.is_dataclass(value):
            given = ((part.name, getattr(value, part.name), part.default) for part in dataclasses.fields(value))
            shown = "{" + ", ".join(f"{key}: {as_override(v)}" for key, v, default in given if v != default) + "}"
        else:
            shown = as_override(value)
        yield f"{field.name} `{shown}`"


def _cell(text: str) -> str:
    """A text of a comment or a type, escaped for a Markdown table."""
    return re.sub(r"([|*<])", r"\\\1", text)


def document() -> str:
    """The text of docs/reference.md."""
    sections = [
        "# Reference: columns and settings",
        "`python docs/make_reference.py > docs/reference.md` makes this page from the definitions in "
        "`pipeline/annotations.py`, the settings classes and `config/*.yaml`; a test compares it with them.",
        "- [Columns of the annotations](#columns-of-the-annotations)\n- [Settings](#settings): "
        + ", ".join(f"[config/{file}](#config{file.replace('.', '')})" for file, _, _ in FILES),
        columns_chapter(),
        "## Settings",
        "Each phase reads one file in `config/`, which holds every default. `--config mine.yaml` reads a file of your "
        "own after it, which names only the settings that differ; `--set section.key=value` changes one setting on top "
        "of both; `--help` prints the file. An unknown name, a wrong type or a value out of range ends the command "
        "with one line and exit code 2. A list is written `[a, b]`, nothing is `null`, numbers may have `_` between "
        "digits, and `~` at the beginning of a path is the home folder.",
    ]
    for file, kind, scripts in FILES:
        sections += [f"### config/{file}", f"For {scripts}."]
        sections += section_tables(file, kind)
    return "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    print(document(), end="")
