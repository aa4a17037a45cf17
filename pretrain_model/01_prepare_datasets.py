"""Step 1: turn each set of rated music into one form: MIDI files, pieces and ratings.

Writes to output.dir for each of data.datasets NAME_pieces.csv, NAME_ratings.csv, NAME_left_out.csv (what can't be used,
and why), for VGMIDI and MERP NAME_raters.csv (every rater), and the MIDI files. Ratings in seconds become ratings of
bars. A set is not downloaded if its path gives a local copy. A table of ratings without MIDI files gets
NAME_wanted.csv: process_gigamidi/03_match_ratings.py then finds its songs in a stream of music. With prepare.plots also
plots/NAME/*.png: rated and predicted curves over each other, with the lag at which they correlate best.
"""

from pipeline.files import provenance, write_json
from pipeline.settings import next_command, note, run_script, with_same_arguments
from pretrain_model.adapters import ADAPTERS
from pretrain_model.pretrain_settings import ALL, SETTINGS_FILE, PretrainSettings, SetSettings
from pretrain_model.rated_set import MATCH, PREPARE, is_by_identity, read_set_table, table_path
from pretrain_model.unused_settings import unused_settings


def main(settings: PretrainSettings) -> None:
    """Prepare the chosen sets and print the counts."""
    folder = settings.folder
    counts: dict[str, dict[str, int]] = {}
    sets = settings.to_prepare()
    for block in settings.sets:
        if ALL in settings.data.datasets and not block.has_source:  # one that is named is refused without a path
            print(f"{block.name}: not used, since it has no path")
            remove(settings, block)  # of an earlier run, which the next steps would use
    for block in sets:
        block.rated_as  # noqa: B018  # refuses a kind that its files don't have, before they are read
        for line in unused_settings(block):
            note(line)
        found = ADAPTERS[block.adapter](block, folder)
        found.write(folder, block.name)
        counts[block.name] = dict(found.counts)
        print(f"{block.name}: " + "; ".join(f"{name}: {n:,}" for name, n in counts[block.name].items()))
        write_json(folder / "datasets.json", provenance(settings, PREPARE, counts=counts))
        if settings.prepare.plots and block.rated_as == "curve":
            plot(settings, block)
    by_identity = [block.name for block in sets if is_by_identity(folder, block.name)]
    print(f"pieces, ratings and MIDI files: {folder.resolve()}")
    if by_identity:
        find = next_command(MATCH, {"ratings.dir": settings.output.dir})
        print(f"next, to find the songs of {', '.join(by_identity)}: {find} --set dataset.path=MUSIC")
    print(f"next: {with_same_arguments('pretrain_model/02_extract_latents.py')}")


def remove(settings: PretrainSettings, block: SetSettings) -> None:
    """Remove the tables of an earlier run for a set that is used no longer."""
    for kind in ("pieces", "ratings", "left_out", "raters", "wanted"):
        table_path(settings.folder, block.name, kind).unlink(missing_ok=True)


def plot(settings: PretrainSettings, block: SetSettings) -> None:
    """Draw the fit of a set's curves."""
    from pretrain_model.curve_plots import plot_fits  # and matplotlib, which nothing else here needs
    from pretrain_model.head import load_head

    folder = settings.folder
    ratings, pieces = (read_set_table(folder, block.name, kind) for kind in ("ratings", "pieces"))
    head = load_head(settings.prepare.plot_head)
    lags = plot_fits(folder, block.name, ratings, pieces, head, settings.prepare.plots)
    print(f"{block.name}: fits in {folder / 'plots' / block.name}, lags in {lags}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
