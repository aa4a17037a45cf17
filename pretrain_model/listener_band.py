"""What drums and instruments add to the level, learned from songs for bands.

For each dimension a regression of what the level leaves of the ratings, on the shares and rates of instruments and
drums. Ratings of a set with its own scale are standardised; how far they follow the level is learned with them, within
bounds, since the level of music for bands is not known well. Valence starts from what is known of groove (GROOVE), and
the songs correct that. Only sets count whose ratings surely follow the level, and those with `teaches: band`, which are
taken as they are; without songs for bands of such sets drums and instruments add nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import Ridge

from .band import BAND, from_usual
from .listener import CLIP, Listener
from .listener_level import joined, minimise, signs_of
from .pretrain_settings import ListenerSettings
from .seen_music import RatedMusic, SeenSet
from .set_scales import Scales, at_most, scale_of_set

# The tags' valence rises by so many standard deviations where log(1 + the drums' onsets a second) rises by one standard
# deviation. Event density and a salient beat are what makes people move to music (Madison, Gouyon, Ullén and Hörnström,
# J. Exp. Psychol. Human 37, 2011), and such music is felt as pleasant (Janata, Tomic and Haberman, J. Exp. Psychol.
# General 141, 2012). The size is that of the correlation between VGMIDI's valence and the onsets a second.
GROOVE = 0.3
_BAND_SLOPE = (0.5, 1.0)  # least and greatest change of a song's ratings for a change of 1 in the level
_LOOSE = 1e3  # a column this large is hardly penalised


class _Songs(NamedTuple):
    """The songs of a set, one dimension of it: band (n, BAND) about what is usual, level (n), rated (n), weight (n)."""

    of: SeenSet
    band: np.ndarray
    level: np.ndarray
    rated: np.ndarray
    weight: np.ndarray


def fit_band(
    listener: Listener, music: RatedMusic, scales: Scales, settings: ListenerSettings
) -> dict[str, np.ndarray]:
    """The weights of the band; none if no set has songs for bands. Files of one song share its weight."""
    weighed = [(seen, weights) for seen in music if (weights := band_weights(seen, scales)).any()]
    if not weighed:
        return {}
    sets, weights = [seen for seen, _ in weighed], np.concatenate([some for _, some in weighed])
    shares = weights.max(axis=1)
    band = np.stack([song.views.band[-1] for seen in sets for song in seen.pieces]).astype(np.float64)
    mean = np.average(band, axis=0, weights=shares)
    std = np.sqrt(np.average(np.square(band - mean), axis=0, weights=shares))
    std = np.where(std > 1e-6, std, 1.0)
    usual = mean / np.maximum(np.average(band - from_usual(band, np.ones(len(BAND))), axis=0, weights=shares), 1e-9)
    x = (from_usual(band, usual) / std).clip(-CLIP, CLIP)  # 0 on average, but for the clipping
    level = np.stack([listener.level(song.views) for seen in sets for song in seen.pieces])
    begins = np.cumsum([0, *(len(seen.pieces) for seen in sets)])
    spread = listener.weights["error.spread"]
    fitted = np.zeros((2, len(BAND)))
    for k in range(2):
        prior = np.zeros(len(BAND))
        if k == 0:
            prior[BAND.index("drums_per_second")] = GROOVE * spread[0]
        songs = []
        for seen, begin, end in zip(sets, begins[:-1], begins[1:], strict=True):
            rated = band_ratings(seen, scales, spread)[:, k]
            given = ~np.isnan(rated) & (weights[begin:end, k] > 0)
            of_set = (x[begin:end], level[begin:end, k], rated, weights[begin:end, k])
            songs.append(_Songs(seen, *(values[given] for values in of_set)))
        fitted[k] = _fit([some for some in songs if len(some.rated) > 2], scales, k, prior, settings)
    return {"mean": usual, "std": std, "weight": fitted}


def band_weights(seen: SeenSet, scales: Scales) -> np.ndarray:
    """The weight of a set's songs for the band, (songs, 2); 0 if none of them is for a band."""
    is_sure = (scale_of_set(scales, seen).trust > 0) | (not seen.teaches_level)
    return at_most((seen.shares * seen.weight * seen.has_bands)[:, None] * is_sure)


def band_ratings(seen: SeenSet, scales: Scales, spread: np.ndarray) -> np.ndarray:
    """Ratings of a set's songs, (songs, 2), as the band is fitted to them.

    Signs, ranks and numbers on the common scale stay as they are. Numbers on another scale get mean 0 over songs and
    the standard deviation `spread`, (2,).
    """
    rated = seen.means
    if seen.is_common or not seen.is_numeric:
        return rated
    known = ~np.isnan(rated)
    weights = np.where(known, seen.shares[:, None], 0.0)
    total = np.maximum(weights.sum(axis=0), 1e-12)
    mean = (weights * np.nan_to_num(rated)).sum(axis=0) / total
    std = np.sqrt((weights * np.square(np.where(known, rated - mean, 0.0))).sum(axis=0) / total)
    return (rated - mean) / np.where(std > 1e-9, std, 1.0) * spread


def _fit(songs: Sequence[_Songs], scales: Scales, k: int, prior: np.ndarray, settings: ListenerSettings) -> np.ndarray:
    """The weights of one dimension in the unit of the level, (BAND)."""
    slopes = [_slope(some, prior, settings) for some in songs]
    total = sum(some.weight.sum() for some in songs)
    square = sum(slope**2 * some.weight.sum() for some, slope in zip(songs, slopes, strict=True)) / max(total, 1e-12)
    if square <= 0:
        return np.zeros(len(prior))
    begin = prior / np.sqrt(square)
    width = len(prior) + 1
    gram, moment, signs = np.zeros((width, width)), np.zeros(width), []
    for some, slope in zip(songs, slopes, strict=True):
        scale = scale_of_set(scales, some.of)
        if some.of.is_numeric and some.weight.sum() > 0:
            share = some.weight / some.weight.sum()
            rest = some.rated / slope - some.level - some.band @ begin
            x = np.append(some.band - share @ some.band, np.zeros((len(rest), 1)), axis=1)
            weight = some.weight * slope**2
            gram += (x.T * weight) @ x
            moment += x.T @ (weight * (rest - share @ rest))
        elif not some.of.is_numeric:
            x = np.append(some.band, np.zeros((len(some.rated), 1)), axis=1)
            before, weight = some.level + some.band @ begin, some.weight * settings.sign_weight / 2
            signs.append(signs_of(some.of, scale, k, x, some.rated, before, weight))
    return begin + minimise(gram, moment, joined(signs, width), settings.penalty_band * square)[:-1]


def _slope(some: _Songs, prior: np.ndarray, settings: ListenerSettings) -> float:
    """How far a set's ratings follow the level: 1 for those on the common scale, for signs and for ranks."""
    if some.of.is_common or not some.of.is_numeric or some.weight.sum() <= 0:
        return 1.0
    rows = np.concatenate([some.level[:, None] * _LOOSE, some.band], axis=1)
    fitted = Ridge(alpha=settings.penalty_band).fit(rows, some.rated - some.band @ prior, sample_weight=some.weight)
    return float(np.clip(fitted.coef_[0] * _LOOSE, *_BAND_SLOPE))
