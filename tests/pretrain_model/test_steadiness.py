"""What no listener hears changes no rating: notes moved by milliseconds, and the order in which they are written."""

from __future__ import annotations

import numpy as np
import pytest
from made_music import arpeggios, chorale, empty_score, finer, moved, rated, rock, with_drums
from symusic import Note, Score, Track

from musetok_bridge.scores import read_score
from pipeline.settings import PROJECT_ROOT
from pretrain_model.head import Head, load_head

SAMPLES = sorted((PROJECT_ROOT / "samples").glob("*.abc"))
FINE = 10  # times as many ticks a quarter as in the song
MOST, MEAN = 0.1, 0.02  # by which a song's mean may move, and songs' means on average


@pytest.fixture(scope="module", params=["bundled", "bundled_heard"])
def head(request: pytest.FixtureRequest) -> Head:
    return load_head(request.param)


@pytest.fixture(scope="module")
def songs() -> list[Score]:
    made = [chorale(k, qpm=70 + 12 * k) for k in range(4)] + [arpeggios(k, qpm=70 + 20 * k) for k in range(4)]
    made += [chorale(9, beat=0.5, qpm=140), with_drums(arpeggios(5), rock())]
    return [finer(score, FINE) for score in (*made, *map(read_score, SAMPLES))]


def moves(head: Head, before: list[Score], after: list[Score]) -> np.ndarray:
    """How far the mean valence and arousal of each song move, (songs, 2)."""
    means = [[rated(head, score)[:, :2].mean(axis=0) for score in scores] for scores in (before, after)]
    return np.abs(np.subtract(*means))


def shaken(score: Score, most: int, seed: int = 0) -> Score:
    """Every note moved by up to `most` ticks, earlier or later."""
    draw = np.random.default_rng(seed)
    return moved(score, lambda _: int(draw.integers(-most, most + 1)))


def drawn_together(score: Score, within: float) -> Score:
    """All notes begin with the first that is not more than `within` seconds before them."""
    ticks_per_second = score.tpq * score.tempos[0].qpm / 60
    copy = score.copy()
    opened = -1e9
    for note in sorted((note for track in copy.tracks for note in track.notes), key=lambda note: note.time):
        if note.time - opened > within * ticks_per_second:
            opened = note.time
        note.time = int(opened)
    return copy


@pytest.mark.parametrize("seed", [0, 1])
def test_moving_notes_by_a_hundredth_of_a_quarter_moves_no_rating_far(head, songs, seed: int) -> None:
    found = moves(head, songs, [shaken(score, score.tpq // 100, seed) for score in songs])
    assert found.max() <= MOST
    assert found.mean() <= MEAN


def test_beginning_together_what_begins_within_10_ms_moves_no_rating_far(head, songs) -> None:
    uneven = [shaken(score, score.tpq // 100) for score in songs]
    found = moves(head, uneven, [drawn_together(score, 0.010) for score in uneven])
    assert found.max() <= MOST
    assert found.mean() <= MEAN


@pytest.mark.parametrize("milliseconds", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_chorale_played_a_millisecond_apart_is_that_chorale(head, milliseconds: int, seed: int) -> None:
    score = finer(chorale(seed, qpm=60), FINE)  # a second has 4800 ticks
    by = milliseconds * 48 // 10
    found = moves(head, [score] * 2, [moved(score, lambda k: (k % 3) * by), shaken(score, by, seed)])
    assert found.max() <= 0.02


def test_a_song_a_little_later_is_the_same_song(head) -> None:
    """All notes 1 to 20 ms later against the grid, as an editor moves them."""
    score = finer(arpeggios(1, qpm=60), FINE)
    later = [moved(score, lambda _, by=by: by) for by in (5, 24, 96)]
    assert moves(head, [score] * 3, later).max() <= MEAN


def test_the_order_in_which_notes_and_tracks_are_written_changes_nothing(head, songs) -> None:
    draw = np.random.default_rng(0)
    for score in songs[:10]:
        turned = empty_score(tpq=score.tpq)
        turned.tempos, turned.time_signatures = score.tempos, score.time_signatures
        for track in reversed(list(score.tracks)):
            copy = Track(track.name, track.program, track.is_drum)
            notes = [Note(n.time, n.duration, n.pitch, n.velocity) for n in track.notes]
            copy.notes.extend([notes[i] for i in draw.permutation(len(notes))])
            turned.tracks.append(copy)
        np.testing.assert_array_equal(rated(head, turned), rated(head, score))
