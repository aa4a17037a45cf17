import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.files import (
    TEMPORARY,
    RawData,
    atomic_write,
    file_digest,
    remove_abandoned,
    tensors_digest,
    versions,
    write_json,
    write_tensors,
)
from pipeline.settings import PROJECT_ROOT, UserError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "result.csv"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"


def test_a_digest_depends_on_the_content_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    tensors = {"b": np.ones((2, 3), dtype=np.float32), "a": np.zeros(3, dtype=np.float32)}
    assert tensors_digest(tensors) == tensors_digest(dict(reversed(tensors.items())))
    assert tensors_digest(tensors) != tensors_digest(tensors | {"b": np.ones((3, 2), dtype=np.float32)})
    assert tensors_digest(tensors) != tensors_digest(tensors | {"a": np.full(3, 1e-7, dtype=np.float32)})


def test_the_same_tensors_and_metadata_give_the_same_bytes(tmp_path):
    metadata = {str(i): "x" * i for i in range(20)}
    for name in ("a", "b"):
        write_tensors(tmp_path / name, {"t": np.ones(5), "s": np.zeros((2, 2))}, metadata)
        metadata = dict(reversed(metadata.items()))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_json_and_tensors_are_in_standard_formats(tmp_path):
    write_json(tmp_path / "run.json", {"title": "Für Elise", **versions()})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["title"] == "Für Elise"
    write_tensors(tmp_path / "x.safetensors", {"x": np.arange(3)}, {})
    assert np.array_equal(load_file(tmp_path / "x.safetensors")["x"], np.arange(3))
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "run.json").stat().st_mode


def leftover(folder: Path, **facts: object) -> Path:
    """A temporary file of result.csv that somebody left; facts: how its writer differs from this process."""
    with atomic_write(folder / "result.csv") as temporary:
        temporary.touch()
    name = temporary.name
    machine, process, run = name.removesuffix(TEMPORARY).rpartition(".")[2].split("-")
    writer = {"machine": machine, "process": process, "run": run} | facts
    path = folder / name.replace(f"{machine}-{process}-{run}", "-".join(map(str, writer.values())))
    path.write_text("half")
    return path


def test_what_nobody_will_finish_is_removed_and_no_more(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = leftover(tmp_path, process=ended.pid)
    reborn = leftover(tmp_path, run="0" * 8)  # an earlier process had the number of this one
    elsewhere = leftover(tmp_path, machine="0" * 12, process=ended.pid)
    living = leftover(tmp_path, process=os.getppid())
    old = leftover(tmp_path, machine="1" * 12)
    os.utime(old, (time.time() - 90_000,) * 2)
    ours = leftover(tmp_path)
    others = [tmp_path / name for name in (".result.csv.partial", ".result.csvx.y.partial", ".other.csv.1.partial")]
    for path in others:
        path.write_text("somebody's")
    remove_abandoned(tmp_path / "result.csv")
    assert not any(path.exists() for path in (dead, reborn, old))
    assert all(path.exists() for path in (elsewhere, living, ours, *others))


def test_writers_with_equal_process_numbers_dont_end_each_other(tmp_path):
    """As two containers do on a drive without locks: each has process 1."""
    program = """
import os, sys, time
os.getpid = lambda: 1
from pipeline import files
files._machine = lambda: sys.argv[2] * 12
files.remove_abandoned(files.Path(sys.argv[1]))
with files.atomic_write(sys.argv[1]) as temporary:
    for _ in range(40):
        temporary.write_text(sys.argv[2] * 1000)
        time.sleep(0.02)
"""
    path = tmp_path / "result.csv"
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), name], cwd=PROJECT_ROOT) for name in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert path.read_text() in {name * 1000 for name in "abc"}
    assert [file.name for file in tmp_path.iterdir()] == ["result.csv"]


def test_a_path_with_letters_of_patterns_is_written_and_tidied(tmp_path):
    path = tmp_path / "a[1]*?" / "b[2].csv"
    with atomic_write(path) as temporary:
        temporary.write_text("x")
    old = path.with_name(f".b[2].csv.x{TEMPORARY}")
    old.touch()
    os.utime(old, (0, 0))
    other = path.with_name(f".b2.csv.x{TEMPORARY}")
    other.touch()
    os.utime(other, (0, 0))
    remove_abandoned(path)
    assert {file.name for file in path.parent.iterdir()} == {"b[2].csv", other.name}


def test_a_file_that_is_no_music_by_its_size_is_not_read(tmp_path):
    with (tmp_path / "big.mid").open("wb") as file:
        file.truncate(10**11)  # takes no room on the disk
    with pytest.raises(UserError, match=r"big.mid is larger than"):
        RawData(tmp_path, "corpus.path").read("big.mid")


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as raised, atomic_write(tmp_path / "a.csv"):
        raise OSError(28, "No space left on device")
    assert raised.value.filename == str(tmp_path / "a.csv")
