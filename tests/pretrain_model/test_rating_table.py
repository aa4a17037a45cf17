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

from pipeline.files import midi_md5
from pipeline.settings import UserError
from pretrain_model.extraction import extract_latents
from pretrain_model.pretrain_settings import QuadrantPoints, SetSettings, TableColumns
from pretrain_model.rated_pieces import RatedPiece, listed_pieces, load_rated_pieces
from pretrain_model.rated_set import PIECES, RATINGS, WANTED, RatedSet, read_set_table, split_of, table_path
from pretrain_model.rating_table import _piece_names, prepare_table
from pretrain_model.unused_settings import unused_settings
from song_sources.song_identity import musicbrainz_id, spotify_id

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
    assert reasons(found) == {"two": "no_rated_bar", "one": "not_a_bar"}


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
        ("file,valence\none.mid,1\n\ntwo.midi,abc\n", {}, r"labels\.csv, row 4: valence is 'abc', which is no number"),
        ("file,seconds,valence\none.mid,0:01,1\n", {"kind": "curve"}, r"row 2: seconds is '0:01', which is no number"),
        (
            "file,seconds,bar,valence\none.mid,0,0,1\n",
            {"kind": "curve"},
            r"columns seconds and bar_number, and .* rename the other",
        ),
        ("file,valence,split\none.mid,1,train\ntwo.midi,1,holdout\n", {}, r"row 3: the split is 'holdout', .* train, "),
        ("file,quadrant\none.mid,1\ntwo.midi,0\n", {"kind": "sign"}, r"labels\.csv, row 3: .* is 0, but .* 1 to 4"),
        ("file,valence,valence\none.mid,1,1\n", {}, r"labels\.csv has 'valence' in column 2 and 'valence' in column 3"),
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


SPLITS = ("train", "val", "test")


@pytest.fixture
def load(own: Path, tmp_path: Path, encoder: Any) -> Callable[..., list[RatedPiece]]:
    """Prepare a table of the folder's songs, extract the latents and read the pieces of all splits."""

    def read(text: str, most: int | None = None, **settings: Any) -> list[RatedPiece]:
        prepare(own, text, tmp_path, **settings).write(tmp_path / "out", "own")
        extract_latents(tmp_path / "out", ["own"], encoder, 4)
        block = SetSettings(name="own", adapter="table", path=str(own), **settings)
        return load_rated_pieces(tmp_path / "out", block, SPLITS, encoder, most=most)

    return read


def test_the_standard_error_is_that_of_the_raters_mean(load: Callable[..., list[RatedPiece]]) -> None:
    """Four raters; one, who has no spread; none (no number of raters); and a number that is not known."""
    text = (
        "file,valence,arousal,n_raters,valence_sd,arousal_sd\none.mid,1,-1,4,0.6,0.3\ntwo.midi,1,1,1,0,0\n"
        "a/same.mid,1,1,0,0.6,\nb/same.mid,1,1,,0.6,0.3\n"
    )
    pieces = {piece.name: piece for piece in load(text)}
    assert pieces["one"].error == pytest.approx((0.6 / math.sqrt(3), 0.3 / math.sqrt(3)))
    assert pieces["two"].error == pytest.approx((NAN, NAN), nan_ok=True)
    assert pieces["a__same"].error == pytest.approx((0.6, NAN), nan_ok=True)
    assert pieces["b__same"].error == pytest.approx((0.6, 0.3))
    n_raters = [pieces[name].n_raters for name in ("one", "two", "a__same", "b__same")]
    assert n_raters == pytest.approx([4, 1, NAN, NAN], nan_ok=True)


def test_the_error_of_a_curve_is_the_mean_over_the_bars_that_have_one(load: Callable[..., list[RatedPiece]]) -> None:
    text = (
        "file,bar_number,valence,arousal,n_raters,valence_sd\none.mid,0,1,1,5,0.4\none.mid,1,1,1,1,0\n"
        "one.mid,2,1,1,2,0.6\n"
    )
    (piece,) = load(text, kind="curve")
    assert piece.error[0] == pytest.approx((0.4 / 2 + 0.6) / 2)


def test_latents_of_another_file_are_refused(
    load: Callable[..., list[RatedPiece]], own: Path, tmp_path: Path, make_midi: MakeMidi, encoder: Any
) -> None:
    text = "file,valence,arousal\none.mid,1,1\n"
    load(text)
    (own / "one.mid").write_bytes(make_midi(16, 8))
    found = prepare(own, text, tmp_path)
    found.write(tmp_path / "out", "own")
    block = SetSettings(name="own", adapter="table", path=str(own))
    with pytest.raises(
        UserError, match=r"one\.safetensors is of another MIDI file: run .*02_extract_latents\.py again"
    ):
        load_rated_pieces(tmp_path / "out", block, SPLITS, encoder)
    replace(found, pieces=found.pieces.assign(md5="")).write(tmp_path / "out", "own")
    assert len(load_rated_pieces(tmp_path / "out", block, SPLITS, encoder)) == 1


HIGH = "file,valence,arousal\none.mid,5,8.5\ntwo.midi,-3,1\n"
SIDES = "file,valence,arousal\none.mid,{},{}\ntwo.midi,{},{}\n"


@pytest.mark.parametrize("kind", ["point", "curve"])
def test_the_common_scale_is_from_minus_1_to_1(load: Callable[..., list[RatedPiece]], kind: str) -> None:
    text = HIGH if kind == "point" else "file,bar_number,valence,arousal\none.mid,0,5,8.5\n"
    with pytest.raises(UserError, match=r"sets\.own\.scale is common, but its ratings go to 8\.5: set it to own, or"):
        load(text, kind=kind, scale="common")
    assert load(text, kind=kind)
    assert load(SIDES.format(1, -1, 0, 0.5), scale="common")


@pytest.mark.parametrize(
    "values", [(1, 9, 4, 6), (0, 1, 1, 0), (0.2, 0.9, 0.4, 0.1), (5, -1, 3, 1), (-1, -2, -3, 0), ("", 1, "", 2)]
)
def test_signs_need_values_on_both_sides_of_0(load: Callable[..., list[RatedPiece]], values: tuple[float, ...]) -> None:
    told = r"sets\.own\.kind is sign, but its ratings are all on one side of 0: .* quadrants, words, or values on both"
    with pytest.raises(UserError, match=told):
        load(SIDES.format(*values), kind="sign")


@pytest.mark.parametrize("values", [(-1, 1, 1, -1), (1, 1, -1, 1), (-4, 0, 4, 0), ("", -1, "", 1)])
def test_signs_on_both_sides_in_one_dimension_are_signs(
    load: Callable[..., list[RatedPiece]], values: tuple[float, ...]
) -> None:
    """Happy and angry differ in valence alone."""
    assert len(load(SIDES.format(*values), kind="sign")) == 2


def test_of_a_large_set_some_pieces_are_drawn_before_they_are_read(
    load: Callable[..., list[RatedPiece]],
    own: Path,
    tmp_path: Path,
    make_midi: MakeMidi,
    encoder: Any,
    monkeypatch: Any,
) -> None:
    names = [f"{k:02}.mid" for k in range(12)]
    for k, name in enumerate(names):
        (own / name).write_bytes(make_midi(16, name=f"song {k}"))
    text = "file,valence,arousal\n" + "".join(f"{name},1,1\n" for name in [*names, "broken.mid"])
    read: list[Path] = []
    original = __import__("pretrain_model.rated_pieces").rated_pieces.read_latents
    monkeypatch.setattr("pretrain_model.rated_pieces.read_latents", lambda path: read.append(path) or original(path))
    drawn = [piece.name for piece in load(text, most=5)]
    assert len(read) == 5 and drawn == sorted({path.stem for path in read})
    assert [piece.name for piece in load(text, most=5)] == drawn != [name[:-4] for name in names[:5]]
    whole = load(text)
    assert [piece.name for piece in whole] == [name[:-4] for name in names] == [p.name for p in load(text, most=100)]
    for path in (tmp_path / "out" / "latents").rglob(f"{drawn[0]}.safetensors"):
        path.unlink()  # another takes its place
    block = SetSettings(name="own", adapter="table", path=str(own))
    again = load_rated_pieces(tmp_path / "out", block, SPLITS, encoder, most=5)
    assert len(again) == 5 and {piece.name for piece in again} > {*drawn[1:]}
    listed = listed_pieces(tmp_path / "out", block, SPLITS, encoder)
    known = [piece for piece in whole if piece.name != drawn[0]]
    assert [(p.name, p.group, p.split, p.same_as) for p in listed] == [
        (p.name, p.group, p.split, p.same_as) for p in known
    ]


def test_what_was_found_is_kept_while_the_same_songs_are_wanted(tmp_path: Path) -> None:
    text = "artist,title,valence,arousal\nA,One,0.1,0.2\nB,Two,0.30000000000000004,-1\n"
    block, out = table(tmp_path, text), tmp_path / "out"
    found = [table_path(out, "own", kind) for kind in ("pieces", "ratings")]
    prepare_table(block, out).write(out, "own")
    for path in found:
        path.write_text("found")
    prepare_table(block, out).write(out, "own")
    assert [path.read_text() for path in found] == ["found", "found"]
    prepare_table(table(tmp_path, text + "C,Three,1,1\n"), out).write(out, "own")
    assert not any(path.exists() for path in found)


def test_pieces_of_one_file_have_one_group_with_all_of_their_groups() -> None:
    """Zelda and Mario share a file; a piece whose md5 is not known is the same as none."""
    rows = [("a", "1", "Zelda", "train"), ("b", "2", "Mario", "test"), ("c", "1", "Mario", "test"),
            ("d", "", "Sonic", "val"), ("e", "", "Kirby", "test")]  # fmt: skip
    pieces = pd.DataFrame(rows, columns=["piece", "md5", "group", "split"]).reindex(columns=[*PIECES])
    empty = pd.DataFrame(columns=["piece", "reason"])
    found = RatedSet(pieces, pd.DataFrame(columns=[*RATINGS]), empty).pieces
    assert found["group"].tolist() == ["Zelda", "Zelda", "Zelda", "Sonic", "Kirby"]
    assert found["split"].tolist() == ["train", "train", "train", "val", "test"]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["x/a.mid", "b.midi"], ["a", "b"]),
        (["x/a.mid", "y/A.mid"], ["x__a", "y__A"]),
        (["a.mid", "a.midi"], ["a.mid", "a.midi"]),
        (["x/b.mid", "y/b.mid", "x__b.mid"], ["x__b.mid", "y__b", "x__b"]),
        (["x/a.mid", "x__a.mid", "x/a.midi"], ["x__a.mid", "x__a", "x__a.midi"]),
        (["a.mid", "A.mid", "a.mid_2.mid"], ["a.mid", "A.mid_3", "a.mid_2"]),
    ],
)
def test_names_of_pieces_are_their_own(files: list[str], names: list[str]) -> None:
    assert _piece_names(files) == dict(zip(files, names, strict=True))
    assert {*_piece_names(files[::-1])} == {*files}
    assert len({name.casefold() for name in _piece_names(files[::-1]).values()}) == len(files)


def test_names_of_pieces_fit_into_a_files_name() -> None:
    files = ["a" * 200 + ".mid", "a" * 201 + ".mid", "é" * 120 + ".mid", "x/" + "b" * 140 + ".mid", "y/" + "b" * 140]
    names = [*_piece_names(files).values()]
    assert len({*names}) == len(files)
    assert all(len(name.encode()) <= 150 for name in names)


def test_no_piece_takes_the_place_of_another(own: Path, tmp_path: Path, make_midi: MakeMidi, capsys: Any) -> None:
    for k, name in enumerate(("one.midi", "a__same.mid")):
        (own / name).write_bytes(make_midi(16, 5 + k))
    names = ["one.mid", "one.midi", "a/same.mid", "b/same.mid", "a__same.mid"]
    found = prepare(own, "file,valence\n" + "".join(f"{name},1\n" for name in names), tmp_path)
    assert found.pieces["piece"].tolist() == ["one.mid", "one.midi", "a__same.mid", "b__same", "a__same"]
    kept = [midi_md5((tmp_path / "out" / path).read_bytes()) for path in found.pieces["midi"]]
    assert kept == found.pieces["md5"].tolist() == [midi_md5((own / name).read_bytes()) for name in names]
    assert "note: 3 pieces named with the file's ending" in capsys.readouterr().err


def test_songs_with_the_names_of_missing_values(tmp_path: Path) -> None:
    block = table(tmp_path, "artist,title,tempo,valence\nNA,NULL,,1\nnan,None,90,\nN/A,null,100,2\n")
    prepare_table(block, tmp_path).write(tmp_path, "own")
    found = read_set_table(tmp_path, "own", "wanted")
    assert found[["artist", "title"]].to_numpy().tolist() == [["NA", "NULL"], ["N/A", "null"]]
    assert found["tempo"].tolist() == pytest.approx([NAN, 100], nan_ok=True)
    assert found["arousal"].isna().all()
    assert found["valence"].dtype == found["arousal"].dtype == float


def test_a_bar_that_is_none_is_counted(own: Path, tmp_path: Path, capsys: Any) -> None:
    rows = (
        "one.mid,1,1,1\none.mid,1.5,1,1\none.mid,4,1,1\none.mid,-1,,1\none.mid,9,,\ntwo.midi,3,1,1\nbroken.mid,8,1,1\n"
    )
    found = prepare(own, f"file,bar_number,valence,arousal\n{rows}", tmp_path, kind="curve", lag=2.0)
    assert found.ratings[["piece", "bar_number"]].to_numpy().tolist() == [["one", 1], ["two", 3]]
    assert found.counts["left out, not_a_bar"] == 3
    assert reasons(found) == {"broken": "unusable_midi_not_midi", "one": "not_a_bar"}
    told = capsys.readouterr().err
    assert "sets.own.lag is not used" in told
    assert "begin at bar 1" not in told
    prepare(own, "file,bar_number,valence\none.mid,2,1\none.mid,1,1\ntwo.midi,1,1\n", tmp_path, kind="curve")
    assert "sets.own: the ratings of every piece begin at bar 1, and bars are counted from 0" in capsys.readouterr().err


def test_a_table_that_is_not_of_ratings_may_say_anything(own: Path, tmp_path: Path) -> None:
    (own / "notes.csv").write_text("file,tempo,split\none.mid,Allegro,holdout\n")
    assert len(prepare(own, "file,valence\none.mid,1\n", tmp_path, match_by=("md5",)).pieces) == 1


def test_of_two_columns_of_one_name_a_setting_names_one(tmp_path: Path) -> None:
    text = "artist,title,valence,Valence,arousal_mean,arousal\nA,T,1,2,3,4\n"
    found = wanted(table(tmp_path, text, columns=TableColumns(valence="Valence")), tmp_path)
    assert found[["valence", "arousal"]].to_numpy().tolist() == [[2, 4]]
    with pytest.raises(UserError, match=r"ratings\.csv has 'valence' in column 3 and 'Valence' in column 4, .* rename"):
        wanted(table(tmp_path, text), tmp_path)
    text = "artist,title,V,V\nA,T,1,2\n"
    with pytest.raises(UserError, match=r"ratings\.csv has 'V' in column 3 and 'V' in column 4"):
        wanted(table(tmp_path, text, columns=TableColumns(valence="V")), tmp_path)


@pytest.mark.parametrize(
    ("settings", "unused"),
    [
        ({"adapter": "table", "columns": TableColumns(md5="x"), "match_by": ("md5",), "group": "x"}, []),
        (
            {"adapter": "deam", "columns": TableColumns(md5="x"), "match_by": ("md5",), "lag": 2.0},
            ["columns", "match_by"],
        ),
        ({"adapter": "deam", "kind": "point", "lag": 2.0, "points": QuadrantPoints(Q1=(1, 1))}, ["points", "lag"]),
        ({"adapter": "emopia", "points": QuadrantPoints(Q1=(1, 1)), "alignment": "time"}, ["alignment"]),
        ({"adapter": "emopia", "group": "artist", "midi": "x"}, ["midi", "group"]),
        ({"adapter": "vgmidi", "group": "game", "alignment": "time", "lag": 1.0}, ["lag"]),
        ({"adapter": "table", "lag": 1.0}, ["lag"]),
        ({"adapter": "table", "lag": 1.0, "kind": "curve"}, []),
    ],
)
def test_settings_that_an_adapter_does_not_use_are_told(settings: dict[str, Any], unused: list[str]) -> None:
    lines = unused_settings(SetSettings(name="own", **settings))
    assert [line.split(" ")[0] for line in lines] == [f"sets.own.{name}" for name in unused]
    assert not any("\n" in line for line in lines)
