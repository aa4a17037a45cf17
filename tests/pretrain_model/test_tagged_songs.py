"""Tagged songs: from a folder or zip to labels and MIDI files; what can't be used is counted or refused in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd
import pytest
from made_music import arpeggios, rock, with_drums

from pipeline.files import RawData
from pipeline.settings import UserError
from pretrain_model.extraction import extract_latents, with_tagged
from pretrain_model.rated_pieces import load_rated_pieces
from pretrain_model.tagged_songs import prepare_tagged

LABELS = """file,song_key,title,deezer_valence,deezer_arousal
one.mid,a,One,1.5,-0.5
one again.mid,a,One (live),1.5,-0.5
two.mid,b,Two,-40,2
untagged.mid,c,Three,,1
gone.mid,d,Four,1,1
two.mid,b,Two,-40,2
"""


def write_songs(folder: Path, labels: str = LABELS) -> Path:
    """Songs in two folders, and the table that lists them in a third."""
    for k, name in enumerate(("x/one.mid", "x/one again.mid", "y/z/two.mid", "y/untagged.mid", "y/unlisted.mid")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(with_drums(arpeggios(k), rock()).dumps_midi())
    (folder / "tables").mkdir()
    (folder / "tables" / "labels.csv").write_text(labels, encoding="utf-8")
    return folder


@pytest.fixture(params=["folder", "zip"])
def songs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = write_songs(tmp_path / "songs")
    if request.param == "folder":
        return folder
    path = tmp_path / "songs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"songs/{file.relative_to(folder)}")
        archive.writestr("__MACOSX/songs/x/._one.mid", b"junk")
    return path


def refused(folder: Path, tmp_path: Path) -> str:
    with pytest.raises(UserError) as caught:
        prepare_tagged(RawData(folder, "tagged.path"), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_songs_with_both_tags_and_a_file_are_written_once(songs, tmp_path) -> None:
    out = tmp_path / "out"
    counts = prepare_tagged(RawData(songs, "tagged.path"), out)
    assert counts["files"] == 3
    assert counts["songs"] == 2
    assert counts["left out, without a file"] == 1
    labels = pd.read_csv(out / "tagged_labels.csv")
    labels.index = pd.Index([Path(midi).stem for midi in labels["midi"]])
    assert sorted(labels.index) == ["one", "one again", "two"]
    assert labels["piece"].is_unique
    assert labels.loc["two", ["valence", "arousal", "song_key", "split"]].tolist() == [-40, 2, "b", "train"]
    for name, midi in labels["midi"].items():
        k = ("one", "one again", "two").index(str(name))
        assert (out / midi).read_bytes() == with_drums(arpeggios(k), rock()).dumps_midi()
    assert len(list((out / "midi" / "tagged").iterdir())) == 3


def test_a_row_that_is_listed_twice_is_not_counted_as_one_without_tags(songs, tmp_path) -> None:
    """Only untagged.mid has no tags; two.mid is there twice."""
    assert prepare_tagged(RawData(songs, "tagged.path"), tmp_path / "out")["left out, without tags or song_key"] == 1


def test_every_bar_of_a_song_has_its_tags_and_the_group_of_its_song(songs, tmp_path, encoder) -> None:
    out = tmp_path / "out"
    assert with_tagged(tmp_path / "out", ["vgmidi"]) == ["vgmidi"]
    prepare_tagged(RawData(songs, "tagged.path"), out)
    assert with_tagged(out, ["vgmidi"]) == ["vgmidi", "tagged"]
    extract_latents(out, ["tagged"], encoder, 2)
    pieces = {p.name.removesuffix(".mid"): p for p in load_rated_pieces(out, "tagged", ["train"], encoder)}
    assert {name: piece.group for name, piece in pieces.items()} == {"one": "a", "one again": "a", "two": "b"}
    assert pieces["two"].targets.tolist() == [[-40, 2]] * 8
    assert pieces["two"].made.band.any()


@pytest.mark.parametrize("missing", ["file", "song_key", "deezer_valence", "deezer_arousal"])
def test_a_table_without_a_column_is_refused(missing: str, tmp_path) -> None:
    folder = write_songs(tmp_path / "songs", LABELS.replace(missing, "something"))
    assert missing in refused(folder, tmp_path)


@pytest.mark.parametrize("labels", ["", "\n\n", LABELS.replace("1.5", "cheerful"), "\x00\x01"])
def test_a_table_without_numbers_is_refused(labels: str, tmp_path) -> None:
    assert "labels.csv" in refused(write_songs(tmp_path / "songs", labels), tmp_path)


def test_a_folder_without_a_table_or_without_its_songs_is_refused(tmp_path) -> None:
    folder = write_songs(tmp_path / "songs")
    for file in folder.rglob("*.mid"):
        file.unlink()
    assert "no file listed" in refused(folder, tmp_path)
    (folder / "tables" / "labels.csv").unlink()
    assert "tagged.path" in refused(folder, tmp_path)


def test_no_file_is_written_outside_the_folder(tmp_path) -> None:
    folder = write_songs(tmp_path / "songs", LABELS.replace("one.mid", "../../x/one.mid"))
    prepare_tagged(RawData(folder, "tagged.path"), tmp_path / "out" / "set")
    assert {p.name for p in tmp_path.iterdir()} == {"songs", "out"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"set"}


def test_songs_whose_names_differ_only_in_their_ending_are_two_songs(tmp_path, encoder) -> None:
    folder = write_songs(tmp_path / "songs", LABELS.replace("two.mid,b", "one.midi,b"))
    (folder / "y" / "one.midi").write_bytes(arpeggios(7).dumps_midi())
    prepare_tagged(RawData(folder, "tagged.path"), tmp_path / "out")
    extract_latents(tmp_path / "out", ["tagged"], encoder, 2)
    pieces = load_rated_pieces(tmp_path / "out", "tagged", ["train"], encoder)
    assert len(pieces) == 3
    assert all(len(piece.targets) == len(piece.rated) for piece in pieces)
