"""A dataset's Parquet files in a folder: a copy of a repository of the Hub, or any folder of such files.

The files of a release and split are those that the copy's README lists, as on the Hub: `configs` in the YAML that it
begins with. Without such a list they are found by the names of folders and files, by the rules of the Hub
(https://huggingface.co/docs/hub/datasets-file-names-and-splits). The library `datasets` is not used, since it takes a
path with [ or * in it for a pattern. A README may not name files outside of its folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline.arguments import did_you_mean
from pipeline.settings import UserError, first_line, is_unicode, note, one_line
from pipeline.yaml_texts import LARGEST_FILE, parsed_yaml, problem_of

from .dataset_settings import DatasetSettings
from .parquet_rows import ROWS_PER_READ, ParquetSource, check_music
from .source_faults import tried, tried_items

README = "README.md"
PARQUET = ".parquet"
FOOTER_END = 8  # bytes at the end of a Parquet file: the length of its footer in four, and b"PAR1"
LONGEST_PATTERN, MOST_STARS = 500, 10  # of the files that a README names
_FRONT = "---"  # a line of its own before and after the YAML of a README
_SPLITS = {  # words in the names of folders and files
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"(?:.*/)?data/(\w+)-\d{5}-of-\d{5}.*")
_RELEASE = re.compile(r"v\d+(\.\d+)*|\d+(\.\d+)+")  # how folders of releases are named


class _File(NamedTuple):
    """A Parquet file. n_groups: the number of its row groups."""

    path: Path
    schema: pa.Schema
    n_rows: int
    n_groups: int


class LocalSource(ParquetSource):
    """Rows of the Parquet files of a split in a folder."""

    def __init__(
        self,
        settings: DatasetSettings,
        groups_per_part: int,
        max_bytes: int | None,
        root: Path,
        parquet: Sequence[Path],
        reopened: bool = False,
    ):
        """root: the folder. parquet: all of its Parquet files. reopened: as for open_source.

        Raises UserError if its files can't be read.
        """
        opening = settings if reopened else replace(settings, retry_seconds=0)
        files = [_opened(path, opening) for path in split_files(root, parquet, settings.config, settings.split)]
        for file in files:
            check_music(file.schema, str(file.path.relative_to(root)))
        self._groups_of_files = [(file, group) for file in files for group in range(file.n_groups)]
        identity: dict[str, str | None] = {
            "files in dataset.path": digest_of_files([file.path for file in files]),
            "dataset.config": settings.config,
            "dataset.split": settings.split,
        }
        columns = {column for file in files for column in file.schema.names}
        n_rows = sum(file.n_rows for file in files)
        super().__init__(
            settings, groups_per_part, max_bytes, identity, sorted(columns), n_rows, len(self._groups_of_files)
        )

    def tables(self, group: int, columns: Sequence[str]) -> Generator[pa.Table, None, None]:
        """The rows of a row group, as for ParquetSource."""
        file, in_file = self._groups_of_files[group]

        def begin() -> Iterator[pa.Table]:
            # Without pre_buffer: its threads go on after a fault, and one that runs when the program ends aborts it.
            with pq.ParquetFile(file.path, pre_buffer=False) as opened:
                there = [column for column in columns if _is_readable(opened, in_file, column)]
                for batch in opened.iter_batches(ROWS_PER_READ, [in_file], there):
                    yield pa.Table.from_batches([batch])

        return tried_items(begin, self._settings, lambda: f", row group {in_file} of {file.path.name}")


def _opened(path: Path, settings: DatasetSettings) -> _File:
    if not is_unicode(str(path)):
        raise UserError(f"{one_line(str(path), 200)}: the name is not UTF-8, which is needed to read it: rename it")

    def read() -> _File:
        footer = pq.read_metadata(path)
        return _File(path, footer.schema.to_arrow_schema(), footer.num_rows, footer.num_row_groups)

    return tried(read, settings, lambda: f", {path.name}")


def _is_readable(file: pq.ParquetFile, group: int, column: str) -> bool:
    """Whether a row group has a column and it can be read; a note says so if not.

    Only of a dictionary of texts does Arrow refuse all that is not UTF-8, and with it the rest of the row.
    """
    schema = file.schema_arrow
    if column not in schema.names:
        return False
    if pa.types.is_dictionary(schema.field(column).type):
        try:
            file.read_row_group(group, [column])
        except pa.ArrowInvalid as error:
            note(f"column {column!r} of row group {group} is left empty: {one_line(first_line(error), 100)}")
            return False
    return True


def split_files(root: Path, parquet: Sequence[Path], release: str, split: str) -> list[Path]:
    """The Parquet files of a release's split in a folder, in order. Raises UserError if there are none.

    parquet: all Parquet files of the folder.
    """
    paths = _visible(root, parquet)
    listed = _listed_releases(root)
    releases = {name: splits for name, config in listed.items() if (splits := _splits_of(config, paths))}
    if release in listed:
        _check_within(listed[release], root / README)
    if list(releases) == ["default"]:  # the Hub's name for the data of a repository without releases
        releases = {release: releases["default"]}
    if release not in releases:
        inside = [path for path in paths if path.startswith(f"{release}/")]
        if inside:
            releases[release] = _splits_by_name(inside, f"{release}/")
        elif not listed:
            folders = {PurePosixPath(path).parts[0] for path in paths if "/" in path}
            releases = {name: {} for name in sorted(folders) if _RELEASE.fullmatch(name)}
            if not releases:  # a folder of Parquet files without releases
                releases[release] = _splits_by_name(paths)
    if release not in releases:
        has = one_line(", ".join(releases), 200)
        has = f"it has {has}: set dataset.config to one of them" if has else "files that its README lists are missing"
        raise UserError(f"dataset.config: {root} has no configuration {release!r}; {has}")
    splits = releases[release]
    if split not in splits:
        has = one_line(", ".join(splits), 200)
        raise UserError(f"dataset.split: {root} has no split {split!r}{did_you_mean(split, splits)}; it has {has}")
    return [root / path for path in splits[split]]


def digest_of_files(files: Sequence[Path]) -> str:
    """A digest over the name, length and footer of Parquet files, which may be moved.

    A footer holds the position, length and extremes of everything in the file.
    """
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - FOOTER_END))
            footer = int.from_bytes(file.read(4), "little") + FOOTER_END
            file.seek(max(0, size - footer))
            digest.update(f"{path.name}\n{size}\n".encode(errors="surrogateescape"))
            digest.update(file.read())
    return digest.hexdigest()


def _visible(root: Path, parquet: Sequence[Path]) -> list[str]:
    """The paths of files within a folder, except hidden ones, in order."""
    found = (path.relative_to(root) for path in parquet)
    return sorted(path.as_posix() for path in found if not any(part.startswith((".", "__")) for part in path.parts))


def _listed_releases(root: Path) -> dict[str, Mapping[str, Any]]:
    """The configurations that the README lists, by their names; none if it lists none.

    Raises UserError if it can't be read or lists one of them twice.
    """
    readme = root / README
    if not readme.is_file():
        return {}
    try:
        with readme.open(encoding="utf-8", errors="replace") as file:
            text = file.read(LARGEST_FILE)
        begins, _, rest = text.partition("\n")
        if begins.strip() != _FRONT:
            return {}
        front = parsed_yaml(re.split(rf"^{_FRONT}\s*$", rest, maxsplit=1, flags=re.MULTILINE)[0], strict=False)
    except (OSError, yaml.YAMLError) as error:
        problem = problem_of(error) if isinstance(error, yaml.YAMLError) else first_line(error)
        raise UserError(
            f"{readme}: can't be read as the list of the dataset's files ({one_line(problem, 200)}): "
            "correct it, or remove it"
        ) from None
    configs = front.get("configs") if isinstance(front, dict) else None
    found: dict[str, Mapping[str, Any]] = {}
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict) and isinstance(name := config.get("config_name"), str):
            if name in found:
                raise UserError(
                    f"{readme}: the configuration {one_line(name, 60)!r} is there twice: correct the README"
                )
            found[str(name)] = config
    return found


def _patterns_by_split(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """The patterns of a configuration's `data_files`, in any of the forms that the Hub takes."""
    files = config.get("data_files")
    if isinstance(files, dict):
        files = [{"split": split, "path": path} for split, path in files.items()]
    found: dict[str, list[str]] = {}
    for entry in files if isinstance(files, list) else [files]:
        split, path = (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else ("train", entry)
        patterns = path if isinstance(path, list) else [path]
        found.setdefault(str(split), []).extend(pattern for pattern in patterns if isinstance(pattern, str) and pattern)
    return {split: patterns for split, patterns in found.items() if patterns}


def _check_within(config: Mapping[str, Any], readme: Path) -> None:
    """Raise UserError if a configuration names files outside of the README's folder."""
    listed = [pattern for patterns in _patterns_by_split(config).values() for pattern in patterns]
    for pattern in (*listed, str(config.get("data_dir") or "")):
        path = PurePosixPath(pattern)
        if path.is_absolute() or ".." in path.parts or "://" in pattern or "::" in pattern:
            raise UserError(
                f"{readme}: it names files outside of this copy ({one_line(pattern, 100)}), which are not read: "
                "correct the README, or remove it"
            )
        if len(pattern) > LONGEST_PATTERN or pattern.count("*") > MOST_STARS:
            raise UserError(f"{readme}: {one_line(pattern, 100)} is no list of a dataset's files: correct or remove it")


def _splits_of(config: Mapping[str, Any], paths: Sequence[str]) -> dict[str, list[str]]:
    """The files of each split of a configuration; without splits that have none."""
    patterns_by_split = _patterns_by_split(config)
    folder = config.get("data_dir")
    if not patterns_by_split:
        prefix = f"{PurePosixPath(folder)}/" if isinstance(folder, str) and folder else ""
        return _splits_by_name([path for path in paths if path.startswith(prefix)], prefix)
    found = {}
    for split, patterns in patterns_by_split.items():
        parts = [PurePosixPath(pattern).parts for pattern in patterns if pattern.count("*") <= MOST_STARS]
        matched = (path for pattern in parts for path in paths if _matches(path.split("/"), pattern))
        found[split] = list(dict.fromkeys(matched))
    return {split: files for split, files in found.items() if files}


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path, as names of folders and a file, matches a pattern, in which ** stands for any number of them."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return any(_matches(path[i:], pattern[1:]) for i in range(len(path)))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _splits_by_name(paths: Sequence[str], prefix: str = "") -> dict[str, list[str]]:
    """Files by split: as they are numbered in a folder `data`, by the names of folders, or by their own names.

    The first of these that finds a split decides. If none does, all files are the split train. prefix: the beginning of
    the paths, which has no part in this.
    """
    ways = (
        lambda path: found[1] if (found := _SHARD.fullmatch(path)) else None,
        lambda path: _split_in(str(PurePosixPath(path).parent)),
        lambda path: _split_in(PurePosixPath(path).name),
        lambda path: "train",
    )
    for way in ways:
        splits: dict[str, list[str]] = {}
        for path in paths:
            if split := way(path.removeprefix(prefix)):
                splits.setdefault(split, []).append(path)
        if splits:
            return splits
    return {}


def _split_in(name: str) -> str | None:
    """The split that a name contains as a word of its own."""
    words = re.split(r"[-._ 0-9/]+", name.lower())
    return next((split for split, known in _SPLITS.items() if any(word in words for word in known)), None)
