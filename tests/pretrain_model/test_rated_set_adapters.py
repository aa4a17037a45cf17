"""Sets in their own layouts, with the quirks of their files, become pieces and ratings, right to the digit."""

from __future__ import annotations

import io
import math
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from pipeline.files import RawData, midi_md5
from pipeline.settings import SettingsError, UserError
from pretrain_model.adapters import ADAPTERS
from pretrain_model.known_sets import KNOWN_SETS
from pretrain_model.pretrain_settings import SetSettings
from pretrain_model.rated_files import column_of, numbers, read_cells
from pretrain_model.rated_set import PIECES, RATINGS, RatedSet, split_of
from pretrain_model.rated_songs import RatedSong, prepare_songs
from pretrain_model.xmidi import SIDES

NAN = math.nan
MakeMidi = Callable[..., bytes]


def write(path: Path, text: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


def prepare(block: SetSettings, tmp_path: Path) -> RatedSet:
    found = ADAPTERS[block.adapter](block, tmp_path / "out")
    assert [*found.ratings.columns] == [*RATINGS]
    assert [*found.pieces.columns][: len(PIECES)] == [*PIECES]
    for piece in found.pieces.itertuples():
        assert midi_md5((tmp_path / "out" / str(piece.midi)).read_bytes()) == piece.md5
    return found


def values(found: RatedSet, piece: str, *columns: str) -> list[list[float]]:
    """The ratings of a piece, a list a bar: bar_number, valence, arousal, or the given columns."""
    table = found.ratings[found.ratings["piece"] == piece]
    return table[[*(columns or ("bar_number", "valence", "arousal"))]].to_numpy(dtype=float).tolist()


def reasons(found: RatedSet) -> dict[str, str]:
    return dict(zip(found.left_out["piece"], found.left_out["reason"], strict=True))


def test_every_set_has_its_adapter() -> None:
    assert set(ADAPTERS) == set(KNOWN_SETS)


@pytest.fixture
def midi_folder(make_midi: MakeMidi, tmp_path: Path) -> Path:
    """Four bars of two seconds each: 115.mid and, by its long name, deam_116.mid; 117.mid is no MIDI file."""
    folder = tmp_path / "midi"
    folder.mkdir()
    (folder / "115.mid").write_bytes(make_midi(16))
    (folder / "deam_116.mid").write_bytes(make_midi(16, 2))
    (folder / "117.mid").write_bytes(b"no music")
    return folder


@pytest.fixture
def deam(tmp_path: Path, midi_folder: Path) -> SetSettings:
    root = tmp_path / "annotations" / "annotations averaged per song"
    dynamic = root / "dynamic (per second annotations)"
    header = "song_id," + ",".join(f"sample_{ms}ms" for ms in (1000, 2000, 3000, 4000, 5000))
    # 115 ends after four samples; 116 is written as spreadsheets write numbers, with one cell too many
    write(
        dynamic / "valence.csv",
        f"{header}\n115,0.1,0.2,0.4,0.4,\n116.0,-1,-1,-1,-1,-1,\n117,1,1,1,1,1\n118,0,0,0,0,0\n119,,,,,\n",
        "utf-8-sig",
    )
    write(dynamic / "arousal.csv", f"{header}\n116.0,0,0.5,1,0.5,0\n115,1,1,1,1,1\n117,1,1,1,1,1\n118,0,0,0,0,0\n")
    static = root / "song_level"
    columns = "song_id, valence_mean, valence_std, arousal_mean, arousal_std"
    write(static / "static_annotations_averaged_songs_1_2000.csv", f"{columns}\n115, 3.1, 0.94, 3.0, 0.63\n")
    write(
        static / "static_annotations_averaged_songs_2000_2058.csv",
        "song_id, valence_mean, valence_std, valence_max_mean, arousal_mean, arousal_std\n116, 9, 2, 7, 1, 0\n",
    )
    return SetSettings(name="deam", adapter="deam", path=str(tmp_path / "annotations"), midi=str(midi_folder))


def test_deam_curves(deam: SetSettings, midi_folder: Path, tmp_path: Path) -> None:
    (midi_folder / "119.mid").write_bytes((midi_folder / "115.mid").read_bytes())
    found = prepare(deam, tmp_path)
    # 115: valence from 1 to 4 s, arousal to 5 s. Bar 0 (0–2 s): the half from 1 s on, 0.15; bar 1 (2–4 s): areas of
    # 0.3 and 0.4 over 2 s; bar 2 (4–6 s): valence covers nothing, arousal just half
    assert values(found, "115") == [[0, 0.15, 1], [1, 0.35, 1], [2, pytest.approx(NAN, nan_ok=True), 1]]
    assert values(found, "116") == [[0, -1, 0.25], [1, -1, 0.75], [2, -1, 0.25]]
    assert reasons(found) == {"117": "unusable_midi_not_midi", "118": "no_midi", "119": "no_rated_bar"}
    pieces = found.pieces.set_index("piece")
    assert pieces["recording"].to_dict() == {"115": "deam 115", "116": "deam 116"}
    assert pieces["group"].to_dict() == {"115": "115", "116": "116"}
    assert pieces["split"].to_dict() == {song: split_of(song, deam) for song in ("115", "116")}
    assert found.counts["bars"] == 6
    assert found.counts["left out, no_midi"] == 1


def test_deam_lag_moves_the_ratings_to_the_music_that_they_are_of(deam: SetSettings, tmp_path: Path) -> None:
    found = prepare(replace(deam, lag=1.0), tmp_path)
    # 116's arousal now goes from 0 at 0 s to 1 at 2 s and back to 0 at 4 s
    assert values(found, "116", "bar_number", "arousal") == [[0, 0.5], [1, 0.5]]


def test_deam_points(deam: SetSettings, tmp_path: Path) -> None:
    found = prepare(replace(deam, kind="point"), tmp_path)
    columns = ("valence", "arousal", "valence_sd", "arousal_sd")
    assert values(found, "115", *columns)[0] == pytest.approx([-0.475, -0.5, 0.235, 0.1575])
    assert values(found, "116", *columns) == [[1, -1, 0.5, 0]]
    assert found.ratings["bar_number"].isna().all()


def test_deam_points_are_means_of_curves_without_static_files(deam: SetSettings, tmp_path: Path) -> None:
    for path in (tmp_path / "annotations").rglob("static*.csv"):
        path.unlink()
    found = prepare(replace(deam, kind="rank"), tmp_path)
    # 115: areas 0.15, 0.3, 0.4 over 3 s
    assert values(found, "115", "valence", "arousal")[0] == pytest.approx([0.85 / 3, 1], abs=1e-6)
    assert values(found, "116", "valence", "arousal") == [[-1, 0.5]]


def test_what_is_missing_is_one_line(deam: SetSettings, midi_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sets\.deam\.midi is not set"):
        prepare(replace(deam, midi=None), tmp_path)
    with pytest.raises(UserError, match=r"nowhere.*sets\.deam\.midi"):
        prepare(replace(deam, midi=str(tmp_path / "nowhere")), tmp_path)
    with pytest.raises(UserError, match=r"valence\.csv inside; set sets\.deam\.path"):
        prepare(replace(deam, path=str(midi_folder)), tmp_path)
    with pytest.raises(SettingsError, match=r"sets\.deam\.group.*'artist'.*song only"):
        prepare(replace(deam, group="artist"), tmp_path)
    (midi_folder / "115.mid").unlink()
    (midi_folder / "deam_116.mid").unlink()
    with pytest.raises(
        UserError, match=r"no rated song of deam.*4 no_midi, 1 unusable_midi_not_midi.*sets\.deam\.midi"
    ) as error:
        prepare(deam, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"song_id\n115\n", b"a,b\n1,2\n", b'"'])
def test_damaged_tables_are_one_line(deam: SetSettings, tmp_path: Path, content: bytes) -> None:
    (path,) = (tmp_path / "annotations").rglob("valence.csv")
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"valence\.csv") as error:
        prepare(deam, tmp_path)
    assert "\n" not in str(error.value)


def test_a_song_may_have_arousal_alone(deam: SetSettings, tmp_path: Path) -> None:
    (path,) = (tmp_path / "annotations").rglob("valence.csv")
    path.write_bytes(b"song_id,sample_1000ms\r\xff\xfe,1\r")  # of an unknown song
    found = prepare(deam, tmp_path)
    assert values(found, "116", "bar_number", "arousal") == [[0, 0.25], [1, 0.75], [2, 0.25]]
    assert found.ratings["valence"].isna().all()


def test_two_files_of_one_song_are_one_line(deam: SetSettings, midi_folder: Path, tmp_path: Path) -> None:
    (midi_folder / "other").mkdir()
    (midi_folder / "other" / "115.mid").write_bytes(b"")
    with pytest.raises(UserError, match=r"115\.mid and other/115\.mid both fit 115"):
        prepare(deam, tmp_path)


def test_memo2496(make_midi: MakeMidi, tmp_path: Path) -> None:
    root = tmp_path / "memo"
    header = "song_id,sample_0ms,sample_1000ms,sample_2000ms\n"
    write(root / "valence_all_average.csv", f"{header}1,0,1,0\n2,0.5,0.5,0.5\n")
    write(root / "arousal_all_average.csv", f"{header}1,-1,-1,-1\n2,0.25,0.75,0.25\n")
    write(
        root / "songs_info_all.csv",
        "song_id, file_name, artist\n1, audio/Caf\xe9 No. 1.mp3, A\n2, second.mp3, A\n",
        "latin-1",
    )
    with zipfile.ZipFile(tmp_path / "midi.zip", "w") as archive:
        archive.writestr(unicodedata.normalize("NFD", "x/Café No. 1.mid"), make_midi(8))  # as macOS packs it
        archive.writestr("x/2.mid", make_midi(8, 2))
    block = SetSettings(name="memo", adapter="memo2496", path=str(root), midi=str(tmp_path / "midi.zip"))
    found = prepare(block, tmp_path)
    assert values(found, "1") == [[0, 0.5, -1]]
    assert values(found, "2") == [[0, 0.5, 0.5]]
    assert found.pieces["artist"].tolist() == ["A", "A"]
    assert found.pieces["group"].tolist() == ["1", "2"]
    assert prepare(replace(block, group="artist"), tmp_path).pieces["group"].tolist() == ["A", "A"]


@pytest.fixture
def merp(make_midi: MakeMidi, tmp_path: Path) -> SetSettings:
    """Two songs. Of the raters A moves from 0 to 10, B from 2 to 4 over both songs, C never in valence."""
    rows = [
        # song, rater, valence, arousal; 20 samples are the 2 s of a bar and 21 close it
        ("deam_115", "A", [0.0] * 21, [0.0] * 21),
        ("deam_115", "B", [4.0] * 40, [4.0] * 40),  # cut to the median of 21
        ("deam_115", "C", [7.0] * 21, [5.0] * 21),
        ("deam_115", "A2", [1.0] * 16 + [NAN], [1.0] * 16 + [3.0]),  # 17 of 21: reaches 80 %, and stays
        ("deam_115", "B2", [0.0] * 16, [0.0] * 16),  # 16 of 21: too short
        ("deam_115", "D", [0.0] * 21, [0.0] * 21),
        ("505", "A", [10.0] * 21, [10.0] * 21),
        ("505", "B", [2.0] * 21, [2.0] * 21),
        ("505", "C", [7.0] * 21, [6.0] * 21),
        ("505", "A2", [5.0] * 21, [2.0] * 21),
        ("505", "B2", [1.0] * 21, [1.0] * 21),
        ("505", "D", [2.0] * 21, [2.0] * 21),
    ]
    table = pd.DataFrame(rows, columns=["song_id", "workerid", "valence", "arousal"])
    (tmp_path / "merp").mkdir()
    table.to_parquet(tmp_path / "merp" / "annotations_raw.parquet")
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "115.mid").write_bytes(make_midi(8))  # whose second bar B alone would rate
    (tmp_path / "songs" / "merp_505.mid").write_bytes(make_midi(4))
    return SetSettings(name="merp", adapter="merp", path=str(tmp_path / "merp"), midi=str(tmp_path / "songs"))


def test_merp_rescales_raters_and_averages_them(merp: SetSettings, tmp_path: Path) -> None:
    found = prepare(merp, tmp_path)
    # 505: A 1, B −1, A2 1, B2 1, D 1 in valence, C never moved; in arousal A 1, B −1, C 1, A2 (1 to 3) 0, B2 1, D 1
    (whole,) = values(found, "505", "bar_number", "valence", "arousal", "valence_sd", "arousal_sd", "n_raters")
    assert whole == pytest.approx([0, 0.6, 0.5, 0.8, math.sqrt(5 / 6 - 0.25), 6])
    # deam_115: A −1, B 1, A2 −1, D −1 in valence, and C −1 in arousal, where A2 ends with a sample of 3, which is 1. A2
    # ends at 1.5 s (valence) and 1.6 s (arousal), and the others go on without: valence is −1/2, and −1/3 from 1.6 s on
    area = -1 / 2 * 1.5 - (1 / 2 + 1 / 3) / 2 * 0.1 - 1 / 3 * 0.4
    (start,) = values(found, "deam_115", "bar_number", "valence", "n_raters")
    assert start == pytest.approx([0, area / 2, 5], abs=1e-6)
    arousal = [-3 / 5] * 16 + [-1 / 5] + [-1 / 2] * 4
    by_hand = sum((a + b) / 2 for a, b in pairwise(arousal)) / 20
    assert values(found, "deam_115", "arousal")[0] == pytest.approx([by_hand], abs=1e-6)
    assert found.counts["raters left out, never moved valence"] == 1
    assert "raters left out, never moved arousal" not in found.counts
    assert found.counts["trials left out, too short, valence"] == 1
    assert found.raters is not None
    assert sorted(found.raters.loc[found.raters["piece"] == "505", "rater"]) == ["A", "A2", "B", "B2", "C", "D"]
    assert "B2" not in set(found.raters.loc[found.raters["piece"] == "deam_115", "rater"])


def test_merp_shares_songs_with_deam(merp: SetSettings, tmp_path: Path) -> None:
    pieces = prepare(merp, tmp_path).pieces.set_index("piece")
    assert pieces["recording"].to_dict() == {"deam_115": "deam 115", "505": "merp 505"}
    assert pieces["group"].to_dict() == {"deam_115": "115", "505": "505"}
    assert pieces.loc["deam_115", "split"] == split_of("115", merp)


def test_merp_points_have_the_spread_of_raters_means(merp: SetSettings, tmp_path: Path) -> None:
    found = prepare(replace(merp, kind="point"), tmp_path)
    assert values(found, "505", "valence", "valence_sd", "n_raters")[0] == pytest.approx([0.6, 0.8, 6])
    assert found.ratings["bar_number"].isna().all()


def test_merp_without_a_column_of_raters(merp: SetSettings, tmp_path: Path) -> None:
    path = tmp_path / "merp" / "annotations_raw.parquet"
    rows = [("505", [0.0] * 11 + [8.0] * 10, [5.0] * 20 + [6.0]), ("505", [9.0] * 21, [0.0] * 20 + [1.0])]
    pd.DataFrame(rows, columns=["song_id", "valence", "arousal"]).to_parquet(path)
    found = prepare(merp, tmp_path)
    # the second row never moves in valence; the first is −1 to 1.0 s, 1 from 1.1 s on
    assert values(found, "505", "valence", "n_raters")[0] == pytest.approx([(-1.0 + 0.9) / 2, 2])
    assert values(found, "505", "arousal")[0] == pytest.approx([-0.95])
    assert found.counts["raters left out, never moved valence"] == 1


@pytest.mark.parametrize(
    "rows", [b"PAR1 junk", pd.DataFrame({"a": [1]}), pd.DataFrame({"song_id": [1], "valence": ["x"], "arousal": ["y"]})]
)
def test_another_parquet_is_one_line(merp: SetSettings, tmp_path: Path, rows: bytes | pd.DataFrame) -> None:
    content = rows
    if isinstance(rows, pd.DataFrame):
        stream = io.BytesIO()
        rows.to_parquet(stream)
        content = stream.getvalue()
    assert isinstance(content, bytes)
    (tmp_path / "merp" / "annotations_raw.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"annotations_raw\.parquet") as error:
        prepare(merp, tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def pmemo(make_midi: MakeMidi, tmp_path: Path) -> SetSettings:
    root = tmp_path / "PMEmo" / "annotations"
    moments = [(k / 2, 0.5 + 0.1 * k, 0.75) for k in range(5)]  # seconds, arousal, valence: a bar of 2 s
    rows = "".join(f"7,{t},{a:.2f},{v}\n" for t, a, v in moments)
    write(
        root / "dynamic_annotations.csv",
        f"musicId, frameTime, Arousal(mean), Valence(mean)\n{rows}8,0.0,0.5,0.5\n",
        "utf-8-sig",
    )
    spreads = "".join(f"7,{t},0.1,0.2\n" for t, _, _ in moments)
    write(root / "dynamic_annotations_std.csv", f"musicId,frameTime,Arousal(std),Valence(std)\n{spreads}")
    write(root / "static_annotations.csv", "musicId,Arousal(mean),Valence(mean)\n7,0.4,0.575\n8,,\n")
    write(root.parent / "metadata.csv", 'musicId,fileName,title,artist\n7,7.mp3,"A Title, really",Somebody\n')
    (tmp_path / "choruses").mkdir()
    for name in ("7.midi", "8.mid"):
        (tmp_path / "choruses" / name).write_bytes(make_midi(8))
    return SetSettings(name="pmemo", adapter="pmemo", path=str(root.parent), midi=str(tmp_path / "choruses"))


def test_pmemo_curves(pmemo: SetSettings, tmp_path: Path) -> None:
    found = prepare(pmemo, tmp_path)
    # arousal from 0.5 to 0.9 of 1, on the average 0.7, which is 0.4; spreads double with the scale
    (bar,) = values(found, "7", "bar_number", "valence", "arousal", "valence_sd", "arousal_sd")
    assert bar == pytest.approx([0, 0.5, 0.4, 0.4, 0.2])
    assert reasons(found) == {"8": "no_rated_bar"}
    assert found.pieces[["artist", "title"]].to_numpy().tolist() == [["Somebody", "A Title, really"]]
    assert found.pieces["midi"].tolist() == ["midi/pmemo/7.midi"]


def test_pmemo_points(pmemo: SetSettings, tmp_path: Path) -> None:
    found = prepare(replace(pmemo, kind="point", group="artist"), tmp_path)
    assert values(found, "7", "valence", "arousal")[0] == pytest.approx([0.15, -0.2])
    assert reasons(found) == {"8": "no_rating"}
    assert found.pieces["group"].tolist() == ["Somebody"]


@pytest.fixture
def xmidi(make_midi: MakeMidi, tmp_path: Path) -> SetSettings:
    folder = tmp_path / "XMIDI"
    folder.mkdir()
    for k, word in enumerate(SIDES):
        (folder / f"XMIDI_{word}_pop_ABCDEF{k:02d}.midi").write_bytes(make_midi(4 + k))
    (folder / "XMIDI_puzzled_rock_ABCDEFGH.midi").write_bytes(make_midi(4))
    (folder / "other.mid").write_bytes(make_midi(4))
    return SetSettings(name="xmidi", adapter="xmidi", path=str(folder))


def test_xmidi_sides_of_words(xmidi: SetSettings, tmp_path: Path) -> None:
    found = prepare(xmidi, tmp_path)
    sides = {
        piece.split("_")[1]: (v, a)
        for piece, v, a in found.ratings[["piece", "valence", "arousal"]].itertuples(index=False)
    }
    assert sides == {
        "exciting": (1, 1), "warm": (1, 0), "happy": (1, 1), "romantic": (1, 0), "funny": (1, 1), "sad": (-1, -1),
        "angry": (-1, 1), "lazy": (0, -1), "quiet": (0, -1), "fear": (-1, 1), "magnificent": (1, 0),
    }  # fmt: skip
    assert reasons(found) == {"XMIDI_puzzled_rock_ABCDEFGH": "emotion_unknown", "other": "name_unclear"}
    assert set(found.pieces["genre"]) == {"pop"}
    assert found.counts["pieces"] == 11


def test_xmidi_links_files_of_a_folder_and_copies_those_of_a_zip(xmidi: SetSettings, tmp_path: Path) -> None:
    folder = Path(str(xmidi.path))
    for _ in range(2):  # again over the links of before
        linked = prepare(xmidi, tmp_path)
    for midi in linked.pieces["midi"]:
        assert (tmp_path / "out" / midi).samefile(folder / Path(midi).name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"XMIDI_Dataset/{path.name}")
    copied = prepare(replace(xmidi, path=str(tmp_path / "x.zip")), tmp_path)
    assert sorted(copied.pieces["md5"]) == sorted(linked.pieces["md5"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (tmp_path / "out" / copied.pieces["midi"][0]).samefile(folder / Path(copied.pieces["midi"][0]).name)


def test_xmidi_elsewhere_is_one_line(xmidi: SetSettings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"XMIDI_<emotion>.*sets\.xmidi\.path"):
        prepare(replace(xmidi, path=str(tmp_path / "empty")), tmp_path)
    with pytest.raises(SettingsError, match=r"sets\.xmidi\.group"):
        prepare(replace(xmidi, group="artist"), tmp_path)


def test_one_rater_has_no_spread(make_midi: MakeMidi, tmp_path: Path) -> None:
    """Both rate the first bar; the second has valence from one of them and arousal from none."""
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.mid").write_bytes(make_midi(8))
    bars = {"bar_number": [0, 1], "arousal": [0.5, NAN]}
    by = {"A": [0.2, 0.4], "B": [0.6, NAN], "mean": [0.4, 0.4]}
    raters = {who: pd.DataFrame({**bars, "valence": found}).reindex(columns=RATINGS[1:]) for who, found in by.items()}
    rated = raters.pop("mean")
    block = SetSettings(name="own", adapter="merp", path=str(tmp_path / "music"))
    songs = [RatedSong("a", "a.mid", rated, raters=raters)]
    found = prepare_songs(block, tmp_path / "out", songs, RawData(str(tmp_path / "music"), "sets.own.path"))
    assert found.ratings["valence_sd"].tolist() == pytest.approx([0.2, NAN], nan_ok=True)
    assert found.ratings["arousal_sd"].tolist() == pytest.approx([0, NAN], nan_ok=True)
    assert found.ratings["n_raters"].tolist() == [2, 1]


def test_one_file_by_two_names_is_in_one_group_and_split(make_midi: MakeMidi, tmp_path: Path) -> None:
    folder = tmp_path / "xmidi"
    folder.mkdir()
    names = [f"XMIDI_{word}_pop_{k:08d}.midi" for k, word in enumerate(["happy", "sad", "angry", "quiet"] * 5)]
    for k, name in enumerate(names):
        (folder / name).write_bytes(make_midi(8, 1 + k % 2, name=f"song {k % 10}"))
    found = prepare(SetSettings("xmidi", "xmidi", path=str(folder), test_share=0.4, val_share=0.3), tmp_path)
    by_md5 = found.pieces.groupby("md5")[["group", "split"]].nunique()
    assert len(by_md5) == 10 and by_md5.eq(1).all(axis=None)
    first = found.pieces.drop_duplicates("md5")
    assert first["group"].tolist() == first["piece"].tolist()
    assert sum(found.counts[f"pieces in {split}"] for split in ("train", "val", "test")) == 20


def test_tables_that_can_not_be_told_are_one_line(deam: SetSettings, tmp_path: Path) -> None:
    (path,) = (tmp_path / "annotations").rglob("valence.csv")
    for content, told in (
        ('song_id,sample_0ms\n115,1\n\n116,"0\n117,1\n', r"valence\.csv, row 4: a quote is not closed"),
        (
            'song_id,note,sample_0ms\n115,"Heroes,1\n116,"Low",0\n',
            r"valence\.csv, row 2: a quote is .* within its cell",
        ),
        ("song_id,sample_0ms\n115,\x001\n", r"valence\.csv is no text in UTF-8, UTF-16 or Latin-1"),
        ("song_id,sample_0ms,sample_0.0ms\n115,1,0\n", r"sample_0ms and sample_0\.0ms of one time"),
        ("song_id,sample_0ms\n116,1\n115,1.5\n", r"valence\.csv: song 115 has 1\.5 in sample_0ms, .* from -1 to 1; is"),
        ("song_id,sample_0ms\n115,abc\n", r"valence\.csv, row 2: sample_0ms is 'abc', which is no number; correct"),
    ):
        write(path, content)
        with pytest.raises(UserError, match=told) as error:
            prepare(deam, tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_excels_unicode_text(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    write(tmp_path / "t" / "a.txt", f"{mark}Künstler\tvalence\nBjörk\t-1,2e-1\nÉ\t+0,5\n", encoding)
    cells = read_cells(RawData(tmp_path / "t", "path"), "a.txt")
    assert cells["Künstler"].tolist() == ["Björk", "É"]
    assert numbers(cells["valence"], "a.txt").tolist() == [-0.12, 0.5]
    (tmp_path / "t" / "a.txt").write_bytes(b"\xff\xfea")  # half of a letter
    with pytest.raises(UserError, match=r"a\.txt is no text"):
        read_cells(RawData(tmp_path / "t", "path"), "a.txt")


@pytest.mark.parametrize("cell", ["", " ", "-", "nan", "NA", "n/a", "NULL", "None", "inf"])
def test_words_for_no_value_are_none(cell: str) -> None:
    assert numbers(pd.Series([cell, "1"]), "a.csv").tolist() == pytest.approx([NAN, 1], nan_ok=True)


@pytest.mark.parametrize("cell", ["10%", "1:00", "0,5", "1.234,5", "x"])
def test_other_words_are_no_numbers(tmp_path: Path, cell: str) -> None:
    write(tmp_path / "t" / "a.csv", f'id,valence\n1,0.5\n2,"{cell}"\n')
    cells = read_cells(RawData(tmp_path / "t", "path"), "a.csv")
    with pytest.raises(UserError, match=rf"a\.csv, row 3: valence is {cell!r}, which is no number"):
        numbers(cells["valence"], "a.csv")


def test_one_name_is_one_column() -> None:
    table = pd.DataFrame(columns=["valence_mean", "Valence", "arousal", "Arousal ", "note", "note"])
    assert column_of(table, ("valence", "valencemean"), "a.csv") == "Valence"
    for names, told in (
        (("arousal",), r"'arousal' in column 3 and 'Arousal ' in column 4"),
        (("note",), "5 and 'note'"),
    ):
        with pytest.raises(UserError, match=rf"a\.csv has .*{told}"):
            column_of(table, names, "a.csv")


def test_deam_songs_of_two_rows_are_left_out(deam: SetSettings, tmp_path: Path) -> None:
    (path,) = (tmp_path / "annotations").rglob("arousal.csv")
    write(path, path.read_text() + "115.0,0,0,0,0,0\n")
    found = prepare(deam, tmp_path)
    assert found.pieces["piece"].tolist() == ["116"]
    assert reasons(found)["115"] == "listed_twice"
    assert (found.counts["left out, listed_twice"], found.counts["left out, no_midi"]) == (1, 2)
    (path,) = (tmp_path / "annotations").rglob("*2000_2058.csv")
    write(path, path.read_text() + "115,1,1,1,1,1\n")
    found = prepare(replace(deam, kind="point"), tmp_path)
    assert (found.pieces["piece"].tolist(), reasons(found)) == (["116"], {"115": "listed_twice"})


def test_deam_ratings_of_whole_songs_are_from_1_to_9(deam: SetSettings, tmp_path: Path) -> None:
    (path,) = (tmp_path / "annotations").rglob("*1_2000.csv")
    write(path, path.read_text().replace("3.1", "0.9"))
    with pytest.raises(UserError, match=r"1_2000\.csv: song 115 has 0\.9 in valence, where values are from 1 to 9; is"):
        prepare(replace(deam, kind="point"), tmp_path)


def test_valence_and_arousal_are_from_one_folder(deam: SetSettings, tmp_path: Path) -> None:
    root = tmp_path / "annotations"
    (old,) = root.rglob("arousal.csv")
    write(root / "old" / "arousal.csv", old.read_text())  # alone, so the other folder's are meant
    assert len(prepare(deam, tmp_path).pieces) == 2
    write(root / "old" / "valence.csv", old.with_name("valence.csv").read_text())
    with pytest.raises(UserError, match=r"old/valence\.csv and .*/valence\.csv both have arousal beside them"):
        prepare(deam, tmp_path)
    old.unlink()
    (root / "old" / "valence.csv").unlink()
    with pytest.raises(UserError, match=r"/valence\.csv and old/arousal\.csv are not in one folder"):
        prepare(deam, tmp_path)
    (static,) = root.rglob("*1_2000.csv")
    write(root / "old" / static.name, static.read_text())
    with pytest.raises(UserError, match=r"1_2000\.csv have one name; remove one of the copies"):
        prepare(replace(deam, kind="point"), tmp_path)


def test_memo2496_takes_a_file_for_one_song(make_midi: MakeMidi, tmp_path: Path) -> None:
    root = tmp_path / "memo"
    rows = "".join(f"{song},0,0,0\n" for song in range(1, 8))
    for dimension in ("valence", "arousal"):
        write(root / f"{dimension}_all_average.csv", f"song_id,sample_0ms,sample_1000ms,sample_2000ms\n{rows}7,1,1,1\n")
    # 2.mid is song 1's by its name, so not song 2's by its id; 5 and 6 have one name; 4's name is no file, 3 has none,
    # and 3.mid is that of 7, which has two rows of arousal and of valence
    info = "song_id,file_name\n7,3.mp3\n1,2.mp3\n2,gone.mp3\n4,gone.mp3\n5,same.mp3\n6,same.mp3\n"
    write(root / "songs_info_all.csv", info)
    (tmp_path / "midi").mkdir()
    for name in ("2.mid", "3.mid", "memo2496_3.mid", "memo2496_4.mid", "same.mid"):
        (tmp_path / "midi" / name).write_bytes(make_midi(8, name=name))
    block = SetSettings(name="memo", adapter="memo2496", path=str(root), midi=str(tmp_path / "midi"))
    found = prepare(block, tmp_path)
    kept = dict(zip(found.pieces["piece"], found.pieces["md5"], strict=True))
    assert kept == {
        song: midi_md5((tmp_path / "midi" / f"{stem}.mid").read_bytes())
        for song, stem in (("1", "2"), ("3", "memo2496_3"), ("4", "memo2496_4"))
    }
    twice = dict.fromkeys(("5", "6", "7"), "listed_twice")
    assert reasons(found) == {"2": "no_midi", **twice}
    write(
        root / "songs_info_all.csv", info + "1,2.mp3\n4,else.mp3\n"
    )  # the same of song 1 again, and another of song 4
    assert reasons(prepare(block, tmp_path)) == {"2": "no_midi", "4": "listed_twice", **twice}


def test_merp_trials_without_a_value_count_as_not_made(merp: SetSettings, tmp_path: Path) -> None:
    path = tmp_path / "merp" / "annotations_raw.parquet"
    table = pd.read_parquet(path)
    before = prepare(merp, tmp_path)
    empty = [("505", f"E{k}", values, values) for k, values in enumerate(([], [NAN] * 3, [], None, [], [], [], []))]
    others = [("7", "E0", [], []), (None, "E0", [1.0], [1.0])]  # a song of no other trial, and one of no song
    more = pd.DataFrame([*empty, *others], columns=table.columns)
    pd.concat([table, more], ignore_index=True).to_parquet(path)
    found = prepare(merp, tmp_path)
    pd.testing.assert_frame_equal(found.ratings, before.ratings)
    assert found.counts["trials left out, without a value, arousal"] == 9
    assert found.counts["raters left out, never moved valence"] == 1
    assert reasons(found) == {"7": "no_midi"}


@pytest.mark.parametrize("kind", ["curve", "point"])
@pytest.mark.parametrize("unknown", [None, NAN, " "])
def test_merp_raters_without_a_name_are_each_their_own(
    merp: SetSettings, tmp_path: Path, unknown: str | float | None, kind: Literal["curve", "point"]
) -> None:
    rows = [
        ("505", unknown, [0.0] * 11 + [2.0] * 10, [0.0] * 11 + [2.0] * 10),
        ("505", unknown, [0.0] * 11 + [8.0] * 10, [9.0] * 21),
        ("505", "A", [4.0] * 11 + [6.0] * 10, [0.0] * 11 + [2.0] * 10),
    ]
    table = pd.DataFrame(rows, columns=["song_id", "workerid", "valence", "arousal"]).astype({"workerid": object})
    table.to_parquet(tmp_path / "merp" / "annotations_raw.parquet")
    found = prepare(replace(merp, kind=kind), tmp_path)
    assert values(found, "505", "valence", "valence_sd", "n_raters")[0] == pytest.approx([-0.05, 0, 3], abs=1e-6)
    assert found.counts["raters left out, never moved arousal"] == 1
    assert found.raters is not None
    assert found.raters["rater"].tolist() == ["row 0", "row 1", "A"]


def test_pmemo_rows_of_one_song_or_moment(pmemo: SetSettings, tmp_path: Path) -> None:
    root = Path(str(pmemo.path)) / "annotations"
    dynamic, static = root / "dynamic_annotations.csv", root / "static_annotations.csv"
    # at 1 s arousal of 0.3 more, so on the average of 0.5, which takes 0.1 from the area of 2 s, doubled by the scale
    write(dynamic, dynamic.read_text("utf-8-sig") + "7,1.0,0.3,0.75\n")
    (bar,) = values(prepare(pmemo, tmp_path), "7", "valence", "arousal", "arousal_sd")
    assert bar == pytest.approx([0.5, 0.3, 0.2])
    write(static, static.read_text() + "7,0.5,0.5\n9,0.5,0.5\n")
    (Path(str(pmemo.midi)) / "9.mid").write_bytes((Path(str(pmemo.midi)) / "8.mid").read_bytes())
    found = prepare(replace(pmemo, kind="point"), tmp_path)
    assert found.pieces["piece"].tolist() == ["9"]
    assert reasons(found) == {"7": "listed_twice", "8": "no_rating"}
    write(static, static.read_text() + "10,0.5,1.01\n")
    with pytest.raises(UserError, match=r"static_annotations\.csv: song 10 has 1\.01 in valence, .* from 0 to 1; is"):
        prepare(replace(pmemo, kind="point"), tmp_path)
