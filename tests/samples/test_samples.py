"""The sample pieces are correct notation, and the data set made from them can be read like GigaMIDI."""

import csv
import hashlib
import re
import subprocess
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import symusic
from script_runs import run_script

from pipeline.settings import PROJECT_ROOT

SAMPLES = PROJECT_ROOT / "samples"
PIECES = sorted(SAMPLES.glob("*.abc"))

# The parts of ABC in the samples: a meter, a triplet of three notes, a note, chord or rest with its length, a bar line.
TOKEN = re.compile(
    r"\[M:(?P<meter>\d+/\d+)\]|(?P<triplet>\(3)|(?P<bar>\|[\]|]?)"
    r"|(?:\[[^\]:]+\]|[_^=]*[A-Ga-g][,']*|z)(?P<up>\d*)(?P<slash>/?)(?P<down>\d*)|-|\s+"
)


def header(text: str, field: str) -> str:
    found = re.search(rf"^{field}:(.*)$", text, re.MULTILINE)
    assert found, f"no {field}: field"
    return found[1].strip()


def bars_by_voice(text: str) -> dict[str, list[tuple[Fraction, Fraction]]]:
    """For each voice, the meter of every bar and the total length of its notes, in whole notes."""
    unit = Fraction(header(text, "L"))
    meter = dict.fromkeys(re.findall(r"^V:(\d+)", text, re.MULTILINE), Fraction(header(text, "M")))
    bars = defaultdict(list)
    for voice, music in re.findall(r"^\[V:(\d+)\](.*)$", text, re.MULTILINE):
        music = re.sub(r"![a-z]+!|\[Q:[^\]]*\]", "", music)
        at, length, in_triplet = 0, Fraction(0), 0
        while at < len(music):
            token = TOKEN.match(music, at)
            assert token, f"voice {voice}: can't read {music[at:]!r}"
            at = token.end()
            if token["meter"]:
                meter[voice] = Fraction(token["meter"])
            elif token["triplet"]:
                in_triplet = 3
            elif token["bar"]:
                bars[voice].append((meter[voice], length))
                length = Fraction(0)
            elif token["up"] is not None:
                down = int(token["down"] or 2) if token["slash"] else 1
                note = unit * int(token["up"] or 1) / down
                length += note * Fraction(2, 3) if in_triplet else note
                in_triplet = max(0, in_triplet - 1)
        assert length == 0, f"voice {voice}: a line ends within a bar"
    return dict(bars)


def notes_of(score: symusic.Score) -> list[list[tuple[int, int, int, int]]]:
    parts = [track.notes.numpy() for track in score.tracks]
    return [
        sorted(zip(*(part[key] for key in ("time", "duration", "pitch", "velocity")), strict=True)) for part in parts
    ]


def test_there_are_many_meters_and_a_change_of_meter():
    meters = [{meter for bars in bars_by_voice(p.read_text("utf-8")).values() for meter, _ in bars} for p in PIECES]
    assert len(PIECES) >= 16
    assert {Fraction(m) for m in ("2/4", "3/4", "4/4", "3/8", "9/8", "5/4", "6/4")} <= set.union(*meters)
    assert any(len(in_piece) > 1 for in_piece in meters)


@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.stem)
def test_every_bar_is_full_in_every_voice(path: Path):
    voices = bars_by_voice(path.read_text("utf-8"))
    assert len(voices) >= 2
    for voice, bars in voices.items():
        assert [(n, length) for n, (meter, length) in enumerate(bars, 1) if length != meter] == [], f"voice {voice}"
    assert len({tuple(bars) for bars in voices.values()}) == 1  # same bars, same meters
    assert len(bars) >= 8


@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.stem)
def test_symusic_reads_the_written_bars(path: Path, capfd: pytest.CaptureFixture[str]):
    score = symusic.Score(path)
    assert capfd.readouterr() == ("", "")  # abc2midi, which symusic uses, would complain there of incomplete bars
    voices = bars_by_voice(path.read_text("utf-8"))
    assert len(score.tracks) == len(voices)
    bars = voices["1"]
    ticks = [int(4 * score.tpq * length) for _, length in bars]
    assert sum(ticks[:-1]) < score.end() <= sum(ticks)
    changes = [n for n, (meter, _) in enumerate(bars) if n == 0 or meter != bars[n - 1][0]]
    assert {s.time: Fraction(s.numerator, s.denominator) for s in score.time_signatures} == {
        sum(ticks[:n]): bars[n][0] for n in changes
    }


def test_symusic_complains_of_a_short_bar(capfd: pytest.CaptureFixture[str]):
    text = (SAMPLES / "ode_to_joy.abc").read_text("utf-8")
    symusic.Score.from_abc(text.replace("A G F E |", "A G F |", 1))
    assert "time units" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "opening"),
    [
        ("ode_to_joy", [66, 66, 67, 69, 69, 67, 66, 64, 62, 62, 64, 66]),  # F# F# G A, A G F# E, D D E F#
        ("ah_vous_dirai_je", [72, 72, 79, 79, 81, 81, 79]),  # C C G G A A G
        ("fur_elise", [76, 75, 76, 75, 76, 71, 74, 72, 69]),  # E D# E D# E B D C A
        ("prelude_in_c", [67, 72, 76] * 4 + [69, 74, 77] * 4),  # a broken C major chord, then D minor
        ("promenade", [67, 65, 70, 72, 77, 74]),  # G F Bb C F D
        ("fifth_symphony", [67, 67, 67, 63, 65, 65, 65, 62]),  # three times G, Eb; three times F, D
    ],
)
def test_a_melody_opens_as_everyone_knows_it(name: str, opening: list[int]):
    melody = symusic.Score(SAMPLES / f"{name}.abc").tracks[0].notes.numpy()
    assert melody["pitch"][np.argsort(melody["time"], kind="stable")][: len(opening)].tolist() == opening


def test_the_table_in_the_readme_says_what_the_files_say():
    with open(SAMPLES / "styles.csv", newline="", encoding="utf-8") as file:
        listed = {row["file"]: row for row in csv.DictReader(file)}
    expected = []
    for path in PIECES:
        text = path.read_text("utf-8")
        meters = dict.fromkeys([header(text, "M"), *re.findall(r"\[M:([^\]]+)\]", text)])
        style, mood = listed[path.name]["style"].replace(";", ","), listed[path.name]["mood"]
        expected.append([path.name, header(text, "T"), header(text, "C"), style, ", ".join(meters), mood])
    lines = [line for line in (SAMPLES / "README.md").read_text("utf-8").splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]] == expected


def test_a_streamed_row_holds_the_notes_of_its_abc_file(sample_dataset: Path, tmp_path: Path):
    by_title = {header(p.read_text("utf-8"), "T"): p for p in PIECES}
    seen = []
    for split in ("train", "validation", "test"):
        stream = datasets.load_dataset(
            str(sample_dataset), "v2.0.0", split=split, streaming=True, cache_dir=str(tmp_path)
        )
        rows = list(stream)
        assert len(rows) >= 2
        for row in rows:
            seen.append(row["title"])
            notes = notes_of(symusic.Score.from_midi(row["music"]))
            assert notes == notes_of(symusic.Score(by_title[row["title"]]))
            assert row["md5"] == hashlib.md5(row["music"]).hexdigest()
            assert row["total_notes"] == sum(map(len, notes))
            assert row["music_styles_curated"]
    assert sorted(seen) == sorted(by_title)


def test_without_a_name_the_old_release_is_loaded(sample_dataset: Path, tmp_path: Path):
    stream = datasets.load_dataset(str(sample_dataset), split="train", streaming=True, cache_dir=str(tmp_path))
    assert set(next(iter(stream))) == {"md5", "music"}


def test_the_columns_are_those_of_the_hub(sample_dataset: Path, shared: Path):
    theirs = pq.read_schema(shared / "data" / "gigamidi_sample" / "v2.0.0" / "train" / "train-00000.parquet")
    for path in sorted((sample_dataset / "v2.0.0").glob("*/*.parquet")):
        assert pq.read_schema(path).equals(theirs)


def test_a_train_file_has_several_row_groups(sample_dataset: Path):
    files = sorted((sample_dataset / "v2.0.0" / "train").glob("*.parquet"))
    assert len(files) > 1
    assert all(pq.ParquetFile(path).num_row_groups > 1 for path in files)


def test_the_same_pieces_give_the_same_bytes(sample_dataset: Path, tmp_path: Path):
    subprocess.run([sys.executable, SAMPLES / "make_dataset.py", "--out", tmp_path], check=True, capture_output=True)
    for path in sorted(p for p in sample_dataset.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(sample_dataset)).read_bytes() == path.read_bytes()


def test_an_unwritable_folder_is_reported_in_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "set"
    done = run_script("samples/make_dataset.py", "--out", out)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and str(out) in done.stderr and done.stderr.count("\n") == 1
