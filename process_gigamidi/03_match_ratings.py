"""Find songs rated in lists in a stream of music, by md5, Spotify id, MusicBrainz id, or artist and title.

Reads every NAME_wanted.csv that pretrain_model/01_prepare_datasets.py wrote, and writes NAME_pieces.csv,
NAME_ratings.csv, the latents of the songs that are found, and matched/. No music is kept. Started again after a stop,
it continues where it was; several runs share the work.
"""

from pipeline.settings import run_script
from process_gigamidi.match_settings import SETTINGS_FILE, RatingMatchSettings


def main(settings: RatingMatchSettings) -> None:
    """Match; the run prints its progress."""
    # Imported here: the conversion workers start by importing this file, and must not wait for torch.
    from process_gigamidi.rating_matches import match_ratings

    match_ratings(settings)


if __name__ == "__main__":
    run_script(RatingMatchSettings, SETTINGS_FILE, __doc__, main)
