"""Records that no run wrote: every script that reads them says so in one line, at once, and changes nothing."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from script_runs import Done, run_script, settings_words
from small_dataset import song
from test_unusable_folders import SCRIPTS

from pipeline.annotations import record_path, table_path
from pipeline.files import file_digest, write_json

VERIFY = "process_gigamidi/02_verify.py"
MOST_MEMORY = 4 * 1024**3  # on top of what the process has; of addresses, which libraries take more of than of memory


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song and its finished annotations, in the folder "folder"; for tests that only read it."""
    here = tmp_path_factory.mktemp("annotated")
    (here / "a.mid").write_bytes(song(3))
    words = settings_words("dataset.path=a.mid", "output.dir=folder")
    ran = run_script("process_gigamidi/01_annotate.py", *words, folder=here)
    assert ran.returncode == 0, ran.stderr
    return here


@pytest.fixture
def here(annotated: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(annotated, tmp_path / "here")


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """A process that would allocate what a file claims gets an error instead."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere than on Linux the tests check the messages only
        has = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + MOST_MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run(script: str, here: Path) -> Done:
    return run_script(script, *settings_words(*SCRIPTS[script]), folder=here)


def with_text(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda path: path.write_text(change(path.read_text()))


def with_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


def of_songs(number: str) -> Callable[[Path], None]:
    return with_text(lambda text: text.replace('"songs": 1,', f'"songs": {number},'))


def without(key: str) -> Callable[[Path], None]:
    return with_text(lambda text: json.dumps({name: v for name, v in json.loads(text).items() if name != key}))


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def too_large(path: Path) -> None:
    os.truncate(path, 10**12)


DAMAGE = {
    "infinity": of_songs("Infinity"),
    "nan": of_songs("NaN"),
    "1e400": of_songs("1e400"),
    "5,000 digits": of_songs("9" * 5_000),
    "10^13": of_songs("1" + "0" * 13),
    "negative": of_songs("-1"),
    "bool": of_songs("true"),
    "deep": with_bytes(b"[" * 200_000),
    "empty": with_bytes(b""),
    "not UTF-8": with_bytes(b'{"part": "\xff"}'),
    "no totals": without("totals"),
    "no digests": without("sha256"),
    "no run": without("run"),
    "folder": folder_instead,
    "pipe": pipe_instead,
    "too large": too_large,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_of_a_part_is_one_line_of_every_script(here: Path, damage: str) -> None:
    path = record_path(here / "folder", 0)
    DAMAGE[damage](path)
    for script in SCRIPTS:
        ran = run(script, here)
        if script == VERIFY:
            assert (ran.returncode, ran.stderr) == (1, ""), script
            assert ran.stdout.startswith("part 00000: its record can't be read\nto repair it:\n  rm "), script
        else:
            assert ran.returncode == 2, (script, ran)
            assert ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1, (script, ran.stderr)
            assert "part-00000.json: not the record of a part" in ran.stderr, script
    assert not (here / "data").exists() and not list((here / "analysis").glob("*"))


@pytest.mark.parametrize("damage", ["deep", "empty", "not UTF-8", "folder", "pipe", "too large"])
def test_a_damaged_run_record_is_one_line_of_every_script(here: Path, damage: str) -> None:
    DAMAGE[damage](here / "folder" / "run.json")
    for script in SCRIPTS:
        ran = run(script, here)
        assert ran.returncode == 2 and ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1, (script, ran)
        assert "run.json: not a record of an annotation" in ran.stderr, script


@pytest.mark.parametrize(
    "n_bars", ["400000000", "2000000000", "-1", "0", "", "1e12", "99999999999999999999", "nan", "2.5", "x"]
)
def test_a_song_that_claims_other_bars_is_refused_before_they_are_counted(here: Path, n_bars: str) -> None:
    path = table_path(here / "folder", "songs", 0)
    header, row = path.read_text().splitlines()
    md5, _, rest = row.split(",", 2)
    path.write_text(f"{header}\n{md5},{n_bars},{rest}\n")
    record = record_path(here / "folder", 0)
    content = json.loads(record.read_text())
    content["sha256"]["songs"] = file_digest(path)
    write_json(record, content)
    verified, exported = run(VERIFY, here), run("publish_annotations/01_export.py", here)
    assert (verified.returncode, verified.stderr) == (1, "")
    assert "part 00000: " in verified.stdout
    assert exported.returncode == 1 and exported.stderr.count("\n") == 1, exported
    assert "02_verify.py" in exported.stderr and not (here / "data").exists()


@pytest.mark.parametrize("table", ["bars", "songs"])
@pytest.mark.parametrize("damage", ["pipe", "folder", "long field", "null bytes", "not text"])
def test_a_table_that_is_none_is_one_line_of_every_script(here: Path, table: str, damage: str) -> None:
    path = table_path(here / "folder", table, 0)
    header, *rows = path.read_text().splitlines()
    contents = {
        "long field": f"{header}\n{'x' * 3_000_000}\n".encode(),
        "null bytes": f"{header}\n\0\0\0,\0{rows[0]}\n".encode(),
        "not text": header.encode() + b"\n\xff\xfe" + rows[0].encode(),
    }
    DAMAGE.get(damage, with_bytes(contents.get(damage, b"")))(path)
    if path.is_file():
        record = record_path(here / "folder", 0)
        content = json.loads(record.read_text())
        content["sha256"][table] = file_digest(path)
        write_json(record, content)
    for script in list(SCRIPTS)[1:]:  # 01_annotate.py reads no table
        ran = run(script, here)
        if script == VERIFY:
            assert (ran.returncode, ran.stderr) == (1, "") and "part 00000: " in ran.stdout, (script, ran)
        elif ran.returncode:
            assert ran.returncode == 1 and ran.stderr.startswith("error: "), (script, ran)
            assert ran.stderr.count("\n") == 1, (script, ran.stderr)
        else:
            assert damage == "not text" and table == "songs", script  # the analysis shows such a letter as a sign
