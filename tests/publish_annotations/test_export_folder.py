"""The folder of an export survives a kill at any moment, and what no export wrote survives every export."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.files import file_digest
from pipeline.settings import UserError
from publish_annotations.export_folder import atomic_folder, exported_files


def fill(folder: Path, text: str) -> None:
    """Write a small export."""
    for name in ("bars/train-00000-of-00001.parquet", "songs/train-00000-of-00001.parquet", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + name)
    record(folder)


def record(folder: Path, **more: object) -> None:
    """Write export.json, which lists every file in the folder."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("export.json", ".lock")
    }
    (folder / "export.json").write_text(json.dumps({"files": {**files, **more}}))


def state(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An export named "old", in a folder with nothing else."""
    with atomic_folder(tmp_path / "data") as temporary:
        fill(temporary, "old ")
    return tmp_path / "data"


CHANGES = 10  # two renames, the lock, three files, two folders, the record, and the earlier folder itself


def killed_export(data: Path, at: int) -> None:
    """Export "new" in a process that ends, with nothing cleaned up, before the file system's change `at`, from 0."""
    child = os.fork()
    if child == 0:
        changes = 0

        def counting(change: Callable) -> Callable:
            def changed(*arguments: object, **options: object) -> object:
                nonlocal changes
                if changes == at:
                    os._exit(9)
                changes += 1
                return change(*arguments, **options)

            return changed

        try:
            with atomic_folder(data) as temporary:
                fill(temporary, "new ")
                for name in ("rename", "unlink", "rmdir"):
                    setattr(Path, name, counting(getattr(Path, name)))
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended == (9 if at < CHANGES else 0), ended


@pytest.mark.parametrize("at", range(CHANGES))
def test_after_a_kill_at_any_moment_the_next_run_finds_an_export_even_if_it_fails(data: Path, at: int) -> None:
    killed_export(data, at)
    with pytest.raises(UserError, match="no annotations"), atomic_folder(data):
        assert state(data)["README.md"] in ("old README.md", "new README.md")
        raise UserError("no annotations")
    assert len(exported_files(data)) == 4
    assert len({text[:3] for name, text in state(data).items() if name != "export.json"}) == 1
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_the_moments_are_all_there_are(data: Path) -> None:
    killed_export(data, CHANGES)
    assert state(data)["README.md"] == "new README.md"
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_rename_that_fails_leaves_the_earlier_export(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == ".data.partial":
            raise OSError(28, "full")
        return rename(path, target)

    before = state(data)
    with pytest.raises(UserError, match="can't be written to"), atomic_folder(data) as temporary:
        fill(temporary, "new ")
        monkeypatch.setattr(Path, "rename", failing)
    assert state(data) == before
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def strange_name(folder: Path) -> None:
    (folder / "thesis.txt").write_text("mine")
    record(folder)


def strange_name_within(folder: Path) -> None:
    (folder / "bars" / "thesis.parquet").write_text("mine")
    record(folder)


def path_out_of_the_folder(folder: Path) -> None:
    mine = folder.parent / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    about = {"bytes": 4, "sha256": file_digest(mine / "README.md")}
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(mine / "README.md")
    record(folder, **{"../mine/README.md": about, str(mine / "README.md"): about})


def linked_folder(folder: Path) -> None:
    (folder / "bars").rename(folder.parent / "elsewhere")
    (folder / "bars").symlink_to(folder.parent / "elsewhere")


def other_bytes(folder: Path) -> None:
    (folder / "README.md").write_text("Old README.md")


def another_folder(folder: Path) -> None:
    (folder / "bars" / "empty").mkdir()


def no_record(folder: Path) -> None:
    (folder / "export.json").unlink()


FORGERIES = (strange_name, strange_name_within, path_out_of_the_folder, linked_folder, another_folder)
ATTACKS = [(place, change) for place in ("data", ".data.before", ".data.partial") for change in FORGERIES]
ATTACKS += [(place, change) for place in ("data", ".data.before") for change in (other_bytes, no_record)]


@pytest.mark.parametrize(("place", "change"), ATTACKS)  # what a killed export prepared has no record yet
def test_what_no_export_wrote_survives(data: Path, place: str, change: Callable[[Path], None]) -> None:
    folder = data.with_name(place)
    if folder != data:
        fill(folder, "mine ")
    change(folder)
    before = state(data.parent)
    with pytest.raises(UserError, match=r"no export wrote|has a link") as raised, atomic_folder(data):
        raise AssertionError("must not begin")
    assert "\n" not in str(raised.value)
    assert {name: text for name, text in state(data.parent).items() if not name.endswith(".lock")} == before


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"null", b"{}", b'{"files": 1}', b'{"files": []}', b'{"files": {"README.md": 1}}', b"\xff",
        b'{"files": {"README.md": {"bytes": Infinity}}}', b"[" * 100_000, b'{"files": {"README.md": {}}}',
    ],
)  # fmt: skip
def test_a_record_that_is_none_is_refused_in_one_line(data: Path, content: bytes) -> None:
    (data / "export.json").write_bytes(content)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"not the record of an export|no export wrote") as raised, atomic_folder(data):
        raise AssertionError("must not begin")
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_a_huge_record_is_refused_unread(data: Path) -> None:
    os.truncate(data / "export.json", 10**12)
    with pytest.raises(UserError, match="larger than 10 MB"), atomic_folder(data):
        raise AssertionError("must not begin")
