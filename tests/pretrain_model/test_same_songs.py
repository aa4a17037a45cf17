"""The same music in several sets is never in training and test data at once: it is refused, or kept together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.settings import UserError, load_settings
from pretrain_model.band import BAND
from pretrain_model.cross_validation import Protocol, fold_pieces
from pretrain_model.extraction import PieceLatents
from pretrain_model.features import FEATURES
from pretrain_model.predictors import learned
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, SetSettings
from pretrain_model.rated_pieces import RatedPiece
from pretrain_model.rated_set import same_files_together
from pretrain_model.same_songs import linked_groups, refuse_in_two_groups, refuse_shared, without_same
from song_sources.song_identity import song_key

BLOCKS = {
    "games": SetSettings("games", "vgmidi", scale="common"),
    "clips": SetSettings("clips", "emopia", scale="common"),
    "mine": SetSettings("mine", "table"),
}
N_BARS = 4


def piece(dataset: str, k: int, group: str = "", same_as: Sequence[str] = (), split: str = "train") -> RatedPiece:
    """A piece of a set with a group of its own, if none is given, whose values don't matter."""
    made = PieceLatents(
        latents=np.zeros((N_BARS, 3), np.float32),
        codes=np.zeros((N_BARS, 2), np.int16),
        bar_number=np.arange(N_BARS, dtype=np.int32),
        n_notes=np.ones(N_BARS, np.int32),
        features=np.zeros((N_BARS, len(FEATURES)), np.float32),
        band=np.zeros((N_BARS, len(BAND)), np.float32),
        edges=2.0 * np.arange(N_BARS + 1),
    )
    targets = np.full((N_BARS, 2), 0.1 * (1 + k % 5), np.float32)
    name, of = f"{dataset} {k}", BLOCKS[dataset]
    own = tuple(filter(None, (f"md5 {dataset}{k}", *same_as)))
    return RatedPiece(of, name, group or f"group {k}", split, made, np.arange(N_BARS), targets, same_as=own)


def settings(same_songs: str, folds: int = 3) -> PretrainSettings:
    return load_settings(
        PretrainSettings, SETTINGS_FILE, None, [f"data.same_songs={same_songs}", f"cross_validate.folds={folds}"]
    )


def sets_of(*pieces: RatedPiece) -> dict[str, list[RatedPiece]]:
    return {name: [p for p in pieces if p.dataset == name] for name in dict.fromkeys(p.dataset for p in pieces)}


def some(dataset: str, n: int = 9) -> list[RatedPiece]:
    """Pieces that are the same as no other."""
    return [piece(dataset, k) for k in range(n)]


SAME = [
    ("md5 c0ffee", "md5 c0ffee"),
    (song_key("The Beatles", "Let It Be - Remastered 2009"), song_key("BEATLES", "Let it be (live)")),
    ("deam 115", "deam 115"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_the_same_music_in_two_sets_is_refused_with_both_names(first: str, second: str) -> None:
    sets = sets_of(*some("games"), piece("games", 20, same_as=[first]), *some("mine"), piece("mine", 30, "", [second]))
    with pytest.raises(UserError) as caught:
        Protocol(sets, settings("refuse"))
    told = str(caught.value)
    assert f"games 20 (games) and mine 30 (mine): {first}" in told
    assert told.startswith("1 piece would be in two folds")
    assert "data.same_songs: together" in told
    assert "\n" not in told


def test_the_same_music_in_two_groups_of_one_set_is_refused_too() -> None:
    with pytest.raises(UserError, match=r"games 20 \(games\) and games 21 \(games\): md5 c0ffee"):
        refuse_in_two_groups([piece("games", k, same_as=["md5 c0ffee"]) for k in (20, 21)])


def test_the_same_music_in_one_group_is_no_leak() -> None:
    twice = [piece("games", k, "Zelda", ["md5 c0ffee"]) for k in (20, 21)]
    refuse_in_two_groups([*some("games"), *twice])
    assert Protocol(sets_of(*some("games"), *twice), settings("refuse")).measured == ["games"]


def test_groups_of_one_name_in_two_sets_are_two_groups() -> None:
    pieces = [piece("games", 1, "Zelda"), piece("mine", 2, "Zelda")]
    refuse_in_two_groups(pieces)
    assert len(set(linked_groups(pieces))) == 2
    with pytest.raises(UserError):
        refuse_in_two_groups([replace(p, same_as=("zelda|theme",)) for p in pieces])


def test_pieces_that_nobody_knows_are_the_same_as_none() -> None:
    unknown = [replace(p, same_as=()) for p in some("games") + some("mine")]
    refuse_in_two_groups(unknown)
    assert len(set(linked_groups(unknown))) == len(unknown)


def test_many_pieces_that_are_the_same_are_counted_and_the_first_are_named() -> None:
    pieces = [piece(dataset, k, same_as=[f"md5 same{k}"]) for k in range(12) for dataset in ("games", "mine")]
    with pytest.raises(UserError) as caught:
        refuse_in_two_groups(pieces)
    told = str(caught.value)
    assert told.startswith("12 pieces would")
    assert "games 0 (games)" in told and "games 11 (games)" not in told and "…" in told


def test_a_name_of_many_lines_is_told_in_one() -> None:
    pieces = [replace(piece(d, 1, same_as=["a\nb|c" * 100]), name="x\ny" * 100) for d in ("games", "mine")]
    with pytest.raises(UserError) as caught:
        refuse_in_two_groups(pieces)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


def test_parts_are_named_by_the_caller() -> None:
    kept, others = [piece("games", 1, same_as=["md5 a"])], [piece("clips", 2, same_as=["md5 a"])]
    refuse_shared([("both", [*kept, *others])], "would be in training and test data at once")
    with pytest.raises(UserError, match="1 piece would be in training and test data at once: games 1"):
        refuse_shared([("train", kept), ("test", others)], "would be in training and test data at once")


def test_together_same_music_and_all_of_its_groups_are_in_one_fold() -> None:
    """Zelda has two pieces; one is the same as a clip, of whose song another clip is the same as a song of mine."""
    linked = [
        piece("games", 20, "Zelda"),
        piece("games", 21, "Zelda", ["md5 a"]),
        piece("clips", 22, "song 1", ["md5 a"]),
        piece("clips", 23, "song 1", ["zelda|theme"]),
        piece("mine", 24, same_as=["zelda|theme"]),
    ]
    pieces = [*some("games"), *some("clips"), *linked, *some("mine")]
    folds = fold_pieces(pieces, 3, together=True)
    assert sorted(i for fold in folds for i in fold) == list(range(len(pieces)))
    fold_of = {i: k for k, fold in enumerate(folds) for i in fold}
    assert len({fold_of[i] for i, p in enumerate(pieces) if p in linked}) == 1
    for dataset in BLOCKS:  # every set still is in every fold
        assert {fold_of[i] for i, p in enumerate(pieces) if p.dataset == dataset} == {0, 1, 2}
    assert len(set(linked_groups(pieces))) == len(pieces) - len(linked) + 1


def test_no_group_is_in_two_folds_whether_together_or_not() -> None:
    pieces = [piece(dataset, k, f"group {k // 3}") for dataset in BLOCKS for k in range(18)]
    for together in (False, True):
        folds = fold_pieces(pieces, 3, together)
        groups = [{(pieces[i].dataset, pieces[i].group) for i in fold} for fold in folds]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 18
        sizes = [[sum(pieces[i].dataset == dataset for i in fold) for fold in folds] for dataset in BLOCKS]
        assert all(sum(of) == 18 and min(of) > 0 for of in sizes)


def test_the_protocol_keeps_the_same_music_together_if_it_is_told_to() -> None:
    same = [piece("games", 20, same_as=["md5 a"]), piece("mine", 30, same_as=["md5 a"])]
    protocol = Protocol(sets_of(*some("games"), same[0], *some("mine"), same[1]), settings("together"))
    assert protocol.joins_same
    assert protocol.measured == ["games", "mine"]
    at = [i for i, p in enumerate(protocol.pieces) if p in same]
    assert sum(set(at) <= set(fold) for fold in protocol.folds) == 1


def test_the_groups_of_the_same_music_are_left_out_of_training_for_a_test() -> None:
    kept = [piece("games", 1, "Mario"), piece("clips", 4, "song 4", ["md5 b"])]
    zelda = [piece("games", 2, "Zelda", ["md5 a"]), piece("games", 3, "Zelda")]
    tested = [piece("mine", 30, same_as=["md5 a"])]
    assert without_same([*kept, *zelda], tested) == kept
    assert without_same([*kept, *zelda], []) == [*kept, *zelda]
    sets = sets_of(*kept, *zelda, *tested)
    assert Protocol(sets, settings("together", 2)).apart([*kept, *zelda], tested) == kept


def test_a_group_that_reaches_the_test_over_another_is_left_out_too() -> None:
    """The clip is no music of the test, but its song has one that is a game's, of which another piece is tested."""
    chain = [piece("clips", 1, "song", ["md5 a"]), piece("games", 2, "Zelda", ["md5 a"])]
    tested = [piece("games", 3, "Zelda")]
    assert without_same(chain, tested) == []


def test_a_set_that_is_only_measured_is_not_learned_from() -> None:
    measured = replace(BLOCKS["mine"], use="measure")
    pieces = [*some("games", 3), *(replace(p, of=measured) for p in some("mine", 3)), *some("clips", 3)]
    assert {p.dataset for p in learned(pieces)} == {"games", "clips"}
    assert {p.dataset for p in learned(pieces, without="clips")} == {"games"}
    protocol = Protocol(sets_of(*pieces), settings("refuse"))
    assert protocol.measured == ["games", "mine", "clips"]
    assert {p.dataset for p in protocol.apart(pieces, [])} == {"games", "clips"}


def test_every_piece_is_predicted_without_its_fold_and_without_what_is_only_measured(monkeypatch) -> None:
    """A stand-in for a predictor remembers what it was trained on."""
    measured = replace(BLOCKS["mine"], use="measure")
    same = [piece("games", 20, same_as=["md5 a"]), replace(piece("clips", 30, same_as=["md5 a"]), split="test")]
    pieces = [*some("games"), same[0], *some("clips"), same[1], *(replace(p, of=measured) for p in some("mine"))]
    protocol = Protocol(sets_of(*pieces), settings("together"))
    trained: list[list[RatedPiece]] = []

    def train(kept):  # type: ignore[no-untyped-def]
        trained.append(kept)
        names = {p.name for p in kept}

        def predict(piece):  # type: ignore[no-untyped-def]
            assert piece.name not in names
            assert not names & ({p.name for p in same} if piece in same else set())
            return np.zeros((len(piece.rated), 2))

        return predict

    monkeypatch.setattr("pretrain_model.cross_validation.trainer", lambda *_: train)
    protocol.left_out("trees")
    protocol.left_out("trees", without="clips")
    assert len(trained) == 2 * 3
    assert all(p.dataset != "mine" for kept in trained for p in kept)
    assert all(p.dataset == "games" for kept in trained[3:] for p in kept)
    protocol.left_out("trees")  # is remembered
    assert len(trained) == 6


def test_pieces_with_one_file_are_put_into_one_group_and_split_and_told(capsys) -> None:
    rows = [("a", "m1", "x", "train"), ("b", "m2", "y", "test"), ("c", "m1", "y", "test"), ("d", "m3", "z", "val")]
    table = pd.DataFrame(rows, columns=["piece", "md5", "group", "split"])
    joined = same_files_together(table)
    assert joined["group"].tolist() == ["x", "x", "x", "z"]
    assert joined["split"].tolist() == ["train", "train", "train", "val"]
    assert "2 pieces have the MIDI file of another" in capsys.readouterr().err
    same_files_together(joined)
    assert not capsys.readouterr().err
