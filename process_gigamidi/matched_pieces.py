"""What the matches of all parts become: pieces and ratings of each set, one table of matches, and counts to print.

A song is one piece of a set, whichever rows it belongs to: its rating is the mean of theirs, weighted by their numbers
of raters. Rows that share a song are taken for one song by two names, and their groups for one: all pieces of these
groups have the group and split of the first row, so that no song is in training and test data at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import write_table
from pipeline.settings import UserError, counted, note, one_line, say
from pretrain_model.rated_set import PIECES, RATINGS, first_of_the_joined, shared_rows, table_path

from .match_parts import MatchedPart, read_matches, write_counts, write_matches
from .match_settings import RatingMatchSettings
from .wanted_songs import IDENTITIES, WantedSongs

SAME_TEMPO_WITHIN = 0.04  # of the ratio from 1
MOST_REASONS = 10  # that are printed


def write_results(settings: RatingMatchSettings, wanted: WantedSongs, records: Sequence[MatchedPart]) -> None:
    """Write what all finished parts found, and print the counts. Raises UserError if nothing was found."""
    found = read_matches(settings.matched, [record.part for record in records])
    found = found.drop_duplicates(["set", "row", "md5"]).reset_index(drop=True)
    write_matches(settings.matched / "matches.csv", found.itertuples(index=False))
    counts: dict[str, Any] = {}
    for name, table in wanted.tables.items():
        matches = found[found["set"] == name]
        pieces, ratings = pieces_and_ratings(table, matches[matches["reason"] == ""])
        counts[name] = counts_of(table, matches)
        for line in lines_of(name, counts[name]):
            say(line)
        for kind, made in (("pieces", pieces), ("ratings", ratings)):
            path = table_path(settings.folder, name, kind)
            if len(pieces):
                write_table(path, made)
            else:
                path.unlink(missing_ok=True)
        if not len(pieces) and (found["reason"] == "").any():
            note(
                f"{name}: no song is found that can be used, so it has no pieces, and the next steps leave it out; to "
                f"find some, set dataset.path or dataset.split to other music, and remove {settings.matched}"
            )
    write_counts(settings, counts)
    _check_found(settings, wanted, found, sum(record.rows for record in records))
    say(f"all matches: {settings.matched / 'matches.csv'}; pieces and ratings of each set: {settings.folder}")


def _check_found(settings: RatingMatchSettings, wanted: WantedSongs, found: pd.DataFrame, n_songs: int) -> None:
    """Raise UserError if no song was found, or none that can be used. n_songs: those that were looked at."""
    if not len(found):
        raise UserError(
            f"ratings.dir: none of {counted(n_songs, 'song')} is in {', '.join(wanted.tables)}: set dataset.path or "
            f"dataset.split to other music, or lower match.least_score, and remove {settings.matched}"
        )
    if not (found["reason"] == "").any():
        raise UserError(
            f"ratings.dir: every song that matched failed; the reasons are in {settings.matched / 'matches.csv'}: set "
            f"dataset.path or dataset.split to other music, and remove {settings.matched}"
        )


def pieces_and_ratings(wanted: pd.DataFrame, matches: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables PIECES and RATINGS of a set. matches: those of songs that did not fail, in the form of MATCHES."""
    place = {row: i for i, row in enumerate(wanted["row"])}
    rows_of: dict[str, list[int]] = {}  # places in the wanted table of the rows of each song
    for match in matches.itertuples():
        rows_of.setdefault(str(match.md5), []).append(place[str(match.row)])
    rows_of = {md5: sorted(set(rows)) for md5, rows in rows_of.items()}
    first = first_of_the_joined([*rows_of.values(), *shared_rows(wanted["group"])])
    n_songs = Counter(row for rows in rows_of.values() for row in rows)
    texts = wanted[["group", "split", "artist", "title"]].to_numpy(dtype=object)
    rated = wanted[list(RATINGS[2:])].to_numpy(dtype=float)
    pieces, ratings = [], []
    for md5, rows in rows_of.items():
        group, split = texts[first[rows[0]], :2]
        artist, title = texts[rows[0], 2:]
        weight = sum(1 / n_songs[row] for row in rows) / len(rows)
        pieces.append((md5, "", md5, group, split, artist, title, "", weight))
        ratings.append((md5, "", *mean_rating(rated[rows])))
    return pd.DataFrame(pieces, columns=list(PIECES)), pd.DataFrame(ratings, columns=list(RATINGS))


def mean_rating(rated: np.ndarray) -> list[float]:
    """The rating of n rows together, in the columns of RATINGS from valence on; NaN where no row has a value.

    rated: (n, 5), the same columns of the rows. A row counts as often as it has raters, or once if their number is not
    known. The standard deviations are averaged as variances, the numbers of raters added.
    """
    raters = rated[:, -1]
    weights = np.where(raters > 0, raters, 1.0)
    valence, arousal, valence_var, arousal_var = (
        _mean(values, weights) for values in (rated[:, 0], rated[:, 1], rated[:, 2] ** 2, rated[:, 3] ** 2)
    )
    n_raters = float(np.nansum(raters)) if np.isfinite(raters).any() else np.nan
    return [valence, arousal, math.sqrt(valence_var), math.sqrt(arousal_var), n_raters]


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else np.nan


def counts_of(wanted: pd.DataFrame, matches: pd.DataFrame) -> dict[str, Any]:
    """The counts of a set: what is printed and kept in run.json. Quartiles are None where there is nothing to count."""
    used = matches[matches["reason"] == ""]
    songs = matches.drop_duplicates("md5")
    failed = songs[songs["reason"] != ""]
    score, ratio = used["score"].dropna(), used["tempo_ratio"].dropna()
    return {
        "rows": len(wanted),
        "rows_matched": int(used["row"].nunique()),
        "songs_matched": int(used["md5"].nunique()),
        "rows_with_several_songs": int((used.groupby("row")["md5"].nunique() > 1).sum()),
        "songs_with_several_rows": int((used.groupby("md5")["row"].nunique() > 1).sum()),
        "matched_by": {by: int((used["matched_by"] == by).sum()) for by in IDENTITIES},
        "score_quartiles": [float(score.quantile(q)) for q in (0.25, 0.5, 0.75)] if len(score) else None,
        "matches_with_tempo": len(ratio),
        "share_of_same_tempo": float((np.abs(ratio - 1) <= SAME_TEMPO_WITHIN).mean()) if len(ratio) else None,
        "songs_failed": len(failed),
        "failed_by_reason": dict(Counter(reason.partition(":")[0] for reason in failed["reason"]).most_common()),
    }


def lines_of(name: str, counts: dict[str, Any]) -> list[str]:
    """The counts of a set in lines."""
    by = ", ".join(f"{n:,} by {identity}" for identity, n in counts["matched_by"].items() if n)
    lines = [
        f"{name}: {counts['rows_matched']:,} of {counted(counts['rows'], 'row')} matched, by "
        f"{counted(counts['songs_matched'], 'song')}",
        f"  matches: {by or 'none'}",
        f"  {counted(counts['rows_with_several_songs'], 'row')} with several songs, "
        f"{counted(counts['songs_with_several_rows'], 'song')} with several rows (their ratings' mean is used)",
    ]
    if counts["score_quartiles"]:
        low, median, high = counts["score_quartiles"]
        lines.append(f"  audio_text_matches_score: median {median:.3f}, quartiles {low:.3f} and {high:.3f}")
    if counts["matches_with_tempo"]:
        share = f"{100 * counts['share_of_same_tempo']:.0f} %"
        lines.append(
            f"  tempo within {100 * SAME_TEMPO_WITHIN:.0f} % of the rated recording's, or of its half or double: "
            f"{share} of {counted(counts['matches_with_tempo'], 'match').replace('matchs', 'matches')} with a tempo"
        )
    if counts["songs_failed"]:
        lines.append(f"  {counted(counts['songs_failed'], 'song')} failed:")
        reasons = list(counts["failed_by_reason"].items())[:MOST_REASONS]
        lines += [f"    {n:,} {one_line(reason, 60)}" for reason, n in reasons]
    return lines
