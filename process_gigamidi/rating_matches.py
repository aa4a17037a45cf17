"""One run of 03_match_ratings.py: songs rated in lists are found in a stream of music, for all sets in one pass.

Parts that are finished are skipped; several runs share out the parts. When all are finished, the sets' pieces and
ratings are written (matched_pieces.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any, Never

from tqdm import tqdm

from pipeline.annotations import finished_parts
from pipeline.parts import PartClaims, parts_to_do, what_is_left
from pipeline.progress import songs_bar
from pipeline.records import digest_of
from pipeline.settings import UserError, counted, next_command, recipe_words, say
from pretrain_model.extraction import latents_folder
from pretrain_model.features import VERSION as FEATURES_VERSION
from pretrain_model.head import NamedEncoder
from pretrain_model.rated_set import is_by_identity
from song_sources.gigamidi_source import open_source, pinned_as_begun

from .match_parts import FORMAT, MatchedPart, begin_or_continue, begun, read_part
from .match_settings import RatingMatchSettings
from .matched_pieces import write_results
from .matched_songs import Matcher, encoder_of
from .wanted_songs import WantedSongs, read_wanted, wanted_digests, wanted_sets


def match_ratings(settings: RatingMatchSettings) -> None:
    """Find the wanted songs of all sets in settings.folder, continuing earlier runs, and write the sets' tables.

    Raises UserError if there is no wanted table, the dataset, the encoder or the folder can't be used, an earlier run
    was begun with something else, or no song matches.
    """
    names = wanted_sets(settings.folder)
    digests = wanted_digests(settings.folder, names)
    wanted = WantedSongs(read_wanted(settings.folder, names), settings.match.least_score)
    settings = replace(settings, dataset=pinned_as_begun(settings.dataset, lambda: begun(settings.matched)))
    source = open_source(settings.dataset, settings.output.row_groups_per_part, settings.limits.file_bytes)
    if not source.n_parts or source.n_rows == 0:
        raise UserError(
            f"{settings.dataset.title}: there are no songs in it; set dataset.path to music, or to null for the Hub"
        )
    encoder = encoder_of(settings)
    decides = what_decides(settings, source.identity, digests, encoder)
    begin_or_continue(settings, decides, source.n_parts)
    run = digest_of(decides)
    done = [read_part(settings.matched, part, run) for part in sorted(finished_parts(settings.matched))]
    to_do = [part for part in range(source.n_parts) if part not in {record.part for record in done}]
    parts = f"{counted(source.n_parts, 'part')}, {len(to_do):,} to do"
    say(f"{settings.dataset.title}: {parts}, looked through for {', '.join(names)}, into {settings.folder}")
    with closing(Matcher(settings, wanted, encoder, source)) as matcher:
        bar = songs_bar("matching", source.n_rows, sum(record.rows for record in done))
        _match(matcher, settings, to_do, run, bar)
    records = [read_part(settings.matched, part, run) for part in range(source.n_parts)]
    write_results(settings, wanted, records)
    hint = "" if recipe_words() else ", with the --config of 01_prepare_datasets.py if it had one"
    say(f"next{hint}: {_next_command(settings, encoder)}")


def _match(matcher: Matcher, settings: RatingMatchSettings, parts: list[int], run: str, progress: tqdm[Never]) -> None:
    """Match the parts that other runs don't, until all are finished."""

    def count(songs: int) -> None:
        progress.update(songs)

    with (
        closing(PartClaims(settings.matched)) as claims,
        closing(progress),
        closing(matcher.match(parts_to_do(parts, claims), run, count)) as finished,
    ):
        for record in _logged(finished, len(parts)):
            claims.release(record.part)


def what_decides(
    settings: RatingMatchSettings,
    identity: Mapping[str, str | None],
    digests: Mapping[str, str],
    encoder: NamedEncoder,
) -> dict[str, Any]:
    """Everything that a part's table depends on. identity: that of the Source. digests: of the wanted tables."""
    return {
        "format": FORMAT,
        **identity,
        "dataset.limit": settings.dataset.limit,
        **digests,
        "match.least_score": settings.match.least_score,
        "model.encoder": encoder.digest,
        "model.dtype": encoder.dtype,
        **({} if encoder.levels == encoder.all_levels else {"model.levels": encoder.levels}),
        "features": FEATURES_VERSION,
        **{f"limits.{name}": value for name, value in asdict(settings.limits).items()},
        "output.row_groups_per_part": settings.output.row_groups_per_part,
    }


def _logged(finished: Iterable[MatchedPart], n_parts: int) -> Iterator[MatchedPart]:
    """The records of parts, with a line printed for each."""
    began, songs = time.monotonic(), 0
    for n_done, record in enumerate(finished, 1):
        songs += record.rows
        seconds = max(time.monotonic() - began, 1e-3)
        line = f"part {record.part:05d}: {record.songs:,} of {counted(record.rows, 'song')} matched"
        line += f"; {songs / seconds:,.0f} songs a second"
        say(line + what_is_left(n_parts - n_done, n_done, seconds))
        yield record


def _next_command(settings: RatingMatchSettings, encoder: NamedEncoder) -> str:
    """The command that goes on: it extracts the latents of sets with MIDI files if they have none, else it trains."""
    folder = settings.folder
    others = [path.name.removesuffix("_pieces.csv") for path in folder.glob("*_pieces.csv")]
    lacking = [
        name
        for name in others
        if not is_by_identity(folder, name) and not (latents_folder(folder, encoder) / name).is_dir()
    ]
    script = "pretrain_model/02_extract_latents.py" if lacking else "pretrain_model/03_train.py"
    overrides: dict[str, Any] = {"output.dir": settings.ratings.dir, "model.encoder": settings.model.encoder}
    if encoder.levels != encoder.all_levels:
        overrides |= {"model.levels": encoder.levels}
    if lacking:
        overrides |= {"model.device": settings.model.device, "model.dtype": settings.model.dtype}
    return next_command(script, overrides)
