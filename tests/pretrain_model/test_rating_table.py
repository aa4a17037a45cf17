"""A table of ratings, whatever its columns are called, becomes pieces with ratings or songs to be found."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.settings import UserError
from pretrain_model.pretrain_settings import SetSettings, TableColumns
from pretrain_model.rated_set import PIECES, RATINGS, WANTED, RatedSet, read_set_table, split_of
from pretrain_model.rating_table import prepare_table
from pretrain_model.table_columns import musicbrainz_id, spotify_id

NAN = math.nan
MakeMidi = Callable[..., bytes]
MD5 = "0123456789abcdef0123456789abcdef"


def table(tmp_path: Path, text: str, encoding: str = "utf-8", **settings: Any) -> SetSettings:
    """A set whose path is a CSV with this text."""
    path = tmp_path / "ratings.csv"
    path.write_bytes(text.encode(encoding))
    return SetSettings(name="own", adapter="table", path=str(path), **settings)


def wanted(block: SetSettings, tmp_path: Path) -> pd.DataFrame:
    found = prepare_table(block, tmp_path / "out")
    assert found.wanted is not None
    assert [*found.wanted.columns] == [*WANTED]
    assert (found.pieces.empty, found.ratings.empty) == (True, True)
    assert ([*found.pieces.columns], [*found.ratings.columns]) == ([*PIECES], [*RATINGS])
    found.write(tmp_path / "out", block.name)
    assert len(read_set_table(tmp_path / "out", block.name, "wanted")) == len(found.wanted)
    return found.wanted


def reasons(found: RatedSet) -> dict[str, str]:
    return dict(zip(found.left_out["piece"], found.left_out["reason"], strict=True))


MUSE = (
    "lastfm_url,track,artist,seeds,number_of_emotion_tags,valence_tags,arousal_tags,dominance_tags,mbid,spotify_id,genre\n"
    'u,"One, Two (Live)",The Band,"[\'sad\']",7,6.5,4.25,5,'
    "96685213-A25C-4678-9A13-ABD9EC81CF35,4uLU6hMCjMI75M1A2tKUQC,rock\n"
    "u,Three,Other,[],2,1.5,inf,5,,,\n"
    "u,Four,Other,[],2,,nan,5,,,\n"
    "u,,Nobody,[],2,3,3,5,,,\n"
)


def test_muse_as_it_is(tmp_path: Path) -> None:
    block = table(tmp_path, MUSE)
    found = wanted(block, tmp_path)
    assert found["row"].tolist() == [0, 1]
    assert found["spotify_id"].tolist() == ["4uLU6hMCjMI75M1A2tKUQC", ""]
    assert found["musicbrainz_id"].tolist() == ["96685213-a25c-4678-9a13-abd9ec81cf35", ""]
    assert found[["artist", "title"]].to_numpy().tolist() == [["The Band", "One, Two (Live)"], ["Other", "Three"]]
    assert found["valence"].tolist() == [6.5, 1.5]
    assert found["arousal"].tolist() == pytest.approx([4.25, NAN], nan_ok=True)  # infinite is none
    assert found["n_raters"].tolist() == [7, 2]
    assert found["group"].tolist() == ["band|onetwo", "other|three"]
    assert found["split"].tolist() == [split_of(group, block) for group in found["group"]]
    left_out = prepare_table(block, tmp_path).left_out
    assert left_out["reason"].tolist() == ["no_rating", "no_identity"]


def test_identities_can_be_restricted(tmp_path: Path) -> None:
    found = wanted(table(tmp_path, MUSE, match_by=("spotify_id",)), tmp_path)
    assert found["spotify_id"].tolist() == ["4uLU6hMCjMI75M1A2tKUQC"]
    assert found[["md5", "musicbrainz_id", "artist", "title"]].to_numpy().tolist() == [["", "", "", ""]]
    assert found["group"].tolist() == ["band|onetwo"]  # still what keeps it together
    with pytest.raises(UserError, match="no row has a rating and an identity"):
        wanted(table(tmp_path, MUSE, match_by=("md5",)), tmp_path)


def test_deezers_files_are_its_splits(tmp_path: Path) -> None:
    header = "dzr_sng_id,MSD_sng_id,MSD_track_id,valence,arousal,artist_name,track_name\n"
    rows = {
        "train": "1,S,T,-1.2,0.3,A,One\n2,S,T,1,1,A,Twice\n2,S,T,1,1,A,Twice (live)\n",
        "validation": "3,S,T,0,0,B,Two\n",
        "test": "4,S,T,0.5,-0.5,C,Three\n5,S,T,1,1,A,twice\n",
    }
    with zipfile.ZipFile(tmp_path / "deezer.zip", "w") as archive:
        for name, text in rows.items():
            archive.writestr(f"deezer/{name}.csv", header + text)
        archive.writestr("deezer/notes.csv", "a,b\n1,2\n")
    block = SetSettings(name="deezer", adapter="table", path=str(tmp_path / "deezer.zip"))
    found = wanted(block, tmp_path)
    assert dict(zip(found["title"], found["split"], strict=True)) == {
        "One": "train", "Twice": "train", "Twice (live)": "train", "Two": "val", "Three": "test",
    }  # fmt: skip
    # a song of two splits stays where most of its rows are
    assert reasons(prepare_table(block, tmp_path)) == {"A - twice": "song_in_two_splits"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_separators_and_encodings(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = [["Artist", " Track Name ", "Valence", "AROUSAL (mean)", ""], ["Beyoncé", "Über", "0.5", " -0.25", ""]]
    text = "\r\n".join(separator.join(row) for row in rows)
    found = wanted(table(tmp_path, text, encoding), tmp_path)
    assert found[["artist", "title", "valence", "arousal"]].to_numpy().tolist() == [["Beyoncé", "Über", 0.5, -0.25]]


def test_blanks_after_commas_and_quotes(tmp_path: Path) -> None:
    found = wanted(table(tmp_path, 'artist, title, valence\nA, "One, two", 1\n'), tmp_path)
    assert found[["artist", "title", "valence"]].to_numpy().tolist() == [["A", "One, two", 1]]


def test_decimal_commas_between_semicolons(tmp_path: Path) -> None:
    found = wanted(table(tmp_path, "md5;valence;arousal\n" + MD5.upper() + ";0,5;-1,25\n"), tmp_path)
    assert found[["md5", "valence", "arousal"]].to_numpy().tolist() == [[MD5, 0.5, -1.25]]
    assert found["group"].tolist() == [MD5]


def test_words_and_quadrants_are_sides(tmp_path: Path) -> None:
    words = ["happy", "Angry", "SAD", "relaxed", "calm", "1", "Q2", "3.0", "q4", "warm", "quiet"]
    rows = "".join(f"{i},A,T{i},{word}\n" for i, word in enumerate([*words, "puzzled", ""]))
    block = table(tmp_path, f"Index,Artist,Title,Mood\n{rows}", kind="sign")
    found = wanted(block, tmp_path)
    assert found[["valence", "arousal"]].to_numpy().tolist() == [
        [1, 1], [-1, 1], [-1, -1], [1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1], [1, -1], [1, 0], [0, -1],
    ]  # fmt: skip
    assert set(reasons(prepare_table(block, tmp_path)).values()) == {"quadrant_unclear"}
    with pytest.raises(UserError, match=r"sets\.own\.kind to sign"):
        wanted(replace(block, kind=None), tmp_path)


@pytest.mark.parametrize(
    ("cell", "track"),
    [
        ("4uLU6hMCjMI75M1A2tKUQC", "4uLU6hMCjMI75M1A2tKUQC"),
        ("spotify:track:4uLU6hMCjMI75M1A2tKUQC", "4uLU6hMCjMI75M1A2tKUQC"),
        ("https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC?si=abc", "4uLU6hMCjMI75M1A2tKUQC"),
        ("https://open.spotify.com/intl-de/track/4uLU6hMCjMI75M1A2tKUQC", "4uLU6hMCjMI75M1A2tKUQC"),
        ("", ""),
    ],
)
def test_spotify_ids(cell: str, track: str) -> None:
    assert spotify_id(cell) == track


def test_musicbrainz_ids() -> None:
    recording = "96685213-a25c-4678-9a13-abd9ec81cf35"
    assert musicbrainz_id(f"https://musicbrainz.org/recording/{recording.upper()}/") == recording
    assert musicbrainz_id(recording) == recording


def test_columns_by_name(tmp_path: Path) -> None:
    text = "singer,song,V,energy,arousal\nA,T,1,2,3\n"
    columns = TableColumns(artist="singer", title="song", valence="V", arousal="energy")
    found = wanted(table(tmp_path, text, columns=columns), tmp_path)
    assert found[["artist", "title", "valence", "arousal"]].to_numpy().tolist() == [["A", "T", 1, 2]]
    with pytest.raises(UserError, match=r"no column enrgy \(the nearest is energy\); set sets\.own\.columns\.arousal"):
        wanted(table(tmp_path, text, columns=TableColumns(arousal="enrgy")), tmp_path)
    with pytest.raises(UserError, match=r"no column singr \(the nearest is singer\); set sets\.own\.group"):
        wanted(table(tmp_path, text, columns=columns, group="singr"), tmp_path)


def test_energy_is_arousal_only_if_told(tmp_path: Path) -> None:
    found = wanted(table(tmp_path, "artist,title,valence,energy\nA,T,1,2\n"), tmp_path)
    assert found["arousal"].isna().all()


def test_groups_and_splits_of_the_table(tmp_path: Path) -> None:
    text = "artist,title,valence,arousal,album,split\nA,T,1,1,x,Train\nB,U,1,1,x,\nC,V,1,1,,validation\n"
    block = table(tmp_path, text, group="album", test_share=0.0, val_share=0.0)
    assert wanted(block, tmp_path)["group"].tolist() == ["x", "x", "c|v"]
    assert wanted(block, tmp_path)["split"].tolist() == ["train", "train", "val"]
    # who has none goes with the others of the group, wherever it would be drawn to
    drawn = wanted(replace(block, test_share=0.5, val_share=0.5), tmp_path)["split"].tolist()
    assert drawn == ["train", "train", "val"]
    assert wanted(replace(block, group="artist"), tmp_path)["group"].tolist() == ["A", "B", "C"]


@pytest.fixture
def own(make_midi: MakeMidi, tmp_path: Path) -> Path:
    """A folder with MIDI files of four bars of 2 s, two of them of one name, and one that is none."""
    folder = tmp_path / "music"
    (folder / "b").mkdir(parents=True)
    (folder / "a").mkdir()
    for k, name in enumerate(("one.mid", "two.midi", "a/same.mid", "b/same.mid")):
        (folder / name).write_bytes(make_midi(16, 1 + k))
    (folder / "broken.mid").write_bytes(b"no music")
    return folder


def prepare(own: Path, text: str, tmp_path: Path, **settings: Any) -> RatedSet:
    (own / "labels.csv").write_text(text)
    found = prepare_table(SetSettings(name="own", adapter="table", path=str(own), **settings), tmp_path / "out")
    assert found.wanted is None
    assert [*found.ratings.columns] == [*RATINGS]
    assert all((tmp_path / "out" / midi).is_file() for midi in found.pieces["midi"])
    return found


def test_points_of_files(own: Path, tmp_path: Path) -> None:
    text = (
        "file,artist,title,valence,arousal,n_raters,valence_sd\n"
        "one.mid,A,T,5,2,3,0.5\nsub/two.midi,A,t,3,1,,-1\nbroken.mid,,,1,1,,\ngone.mid,,,1,1,,\none.mid,A,T,4,4,,\n,A,T,1,1,,\n"
        "a/same.mid,,,1,1,,\nb\\same.mid,,,2,2,,\n"
    )
    found = prepare(own, text, tmp_path)
    assert found.pieces["piece"].tolist() == ["one", "two", "a__same", "b__same"]
    assert found.pieces["group"].tolist() == ["a|t", "a|t", "a/same.mid", "b\\same.mid"]
    assert found.ratings["valence"].tolist() == [5, 3, 1, 2]
    assert found.ratings["n_raters"].tolist()[0] == 3
    assert found.ratings["valence_sd"].tolist() == pytest.approx([0.5, NAN, NAN, NAN], nan_ok=True)
    assert found.ratings["bar_number"].isna().all()
    assert found.left_out.to_numpy().tolist() == [
        ["broken", "unusable_midi_not_midi"], ["gone", "no_midi"], ["one", "listed_twice"], ["A - T", "no_file"],
    ]  # fmt: skip
    assert found.counts["left out, no_midi"] == 1


def test_one_name_in_two_folders_needs_the_folder(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a/same\.mid and b/same\.mid both fit same\.mid"):
        prepare(own, "file,valence,arousal\nsame.mid,1,1\n", tmp_path)


def test_curves_over_seconds(own: Path, tmp_path: Path) -> None:
    rows = "".join(f"one.mid,{t},{t / 10},0\n" for t in (2, 0, 4, 6, 8)) + "two.midi,0,1,1\ntwo.midi,,1,1\n"
    found = prepare(own, f"file,seconds,valence,arousal\n{rows}", tmp_path, kind="curve")
    assert found.ratings["bar_number"].tolist() == [0, 1, 2, 3]
    assert found.ratings["valence"].tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7])
    assert reasons(found) == {"two": "no_rated_bar"}


def test_a_gap_in_a_curve_of_a_table(own: Path, tmp_path: Path) -> None:
    rows = "".join(f"one.mid,{t},{'' if t in (3, 4) else 1},\n" for t in range(9))
    found = prepare(own, f"file,seconds,valence,arousal\n{rows}", tmp_path, kind="curve")
    assert found.ratings["bar_number"].tolist() == [0, 2, 3]  # 2–4 s are not known, and of 4–6 s a half


def test_curves_by_bars(own: Path, tmp_path: Path) -> None:
    rows = "one.mid,1,0.5,\none.mid,0,0.25,1\none.mid,77,1,1\none.mid,2,,\ntwo.midi,77,1,1\n"
    found = prepare(own, f"file,bar_number,valence,arousal\n{rows}", tmp_path, kind="curve")
    assert found.ratings["bar_number"].tolist() == [0, 1]
    assert found.ratings["valence"].tolist() == [0.25, 0.5]
    assert found.ratings["arousal"].tolist() == pytest.approx([1, NAN], nan_ok=True)
    assert reasons(found) == {"two": "no_rated_bar"}


def test_midi_files_elsewhere(own: Path, tmp_path: Path) -> None:
    block = table(tmp_path, "File Name,4Q\none.mid,Q3\n", kind="sign", midi=str(own))
    found = prepare_table(block, tmp_path / "out")
    assert found.ratings[["piece", "valence", "arousal"]].to_numpy().tolist() == [["one", -1, -1]]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("file,seconds,valence\none.mid,1,1\n", {}, r"column seconds.*sets\.own\.kind to curve"),
        ("file,valence\none.mid,1\n", {"kind": "curve"}, r"no column seconds or bar_number.*sets\.own\.kind"),
        ("file,quadrant\none.mid,1\n", {}, r"sets\.own\.kind to sign"),
        ("file,feeling\none.mid,1\n", {}, r"no CSV with a column valence.*sets\.own\.columns"),
        ("file,valence\nnowhere.mid,1\n", {}, r"1 no_midi.*sets\.own\.path"),
        ("valence,arousal\n1,1\n", {}, r"artist and title.*sets\.own\.midi"),
        ("", {}, r"labels\.csv has no rows"),
        ("file,valence\none.mid,1,2\n", {}, r"labels\.csv, row 2 has more cells"),
    ],
)
def test_faults_are_one_line(own: Path, tmp_path: Path, text: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        prepare(own, text, tmp_path, **settings)
    assert "\n" not in str(error.value)


def test_a_curve_can_not_be_found_by_identity(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="which a curve needs"):
        wanted(table(tmp_path, "artist,title,valence,seconds\nA,T,1,1\n", kind="curve"), tmp_path)
    # the length of a song, perhaps
    assert len(wanted(table(tmp_path, "artist,title,valence,seconds\nA,T,1,1\n"), tmp_path)) == 1


def test_popular_songs(shared: Path, tmp_path: Path) -> None:
    block = SetSettings(
        name="popular",
        adapter="table",
        path=str(shared / "data" / "popular.zip"),
        columns=TableColumns(valence="deezer_valence", arousal="deezer_arousal"),
        group="song_key",
    )
    found = prepare_table(block, tmp_path)
    assert (len(found.pieces), found.pieces["group"].nunique(), len(found.ratings)) == (105, 93, 105)
    assert found.counts["left out, no_rating"] == 401 - 105
