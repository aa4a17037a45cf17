"""Step 1: download EMOPIA and VGMIDI, check and count them, and write their labels as CSV.

Writes to output.dir: emopia_labels.csv, vgmidi_labels.csv, vgmidi_ratings.csv (every rater, bar by bar), tables of what
was left out and why, and the MIDI files. A dataset is not downloaded if emopia.path or vgmidi.path gives a local copy.
With tagged.path also tagged_labels.csv: songs for bands, from which drums and instruments are learned.
"""

from pipeline.files import RawData, provenance, raw_data, write_json
from pipeline.settings import run_script
from pretrain_model.emopia import prepare_emopia
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, chosen
from pretrain_model.tagged_songs import LABELS_FILE, prepare_tagged
from pretrain_model.vgmidi import prepare_vgmidi


def say_counts(dataset: str, counts: dict[str, int]) -> None:
    """Print the counts of a dataset on one line."""
    print(f"{dataset}: " + "; ".join(f"{name}: {n:,}" for name, n in counts.items()))


def main(settings: PretrainSettings) -> None:
    """Prepare the chosen datasets and print the counts."""
    folder, downloads = settings.folder, settings.folder / "downloads"
    counts: dict[str, dict[str, int]] = {}
    for dataset in chosen(settings.data.datasets):
        if dataset == "emopia":
            source = settings.emopia
            raw = raw_data(source.path, source.url, source.md5, downloads, "emopia")
            counts[dataset] = prepare_emopia(raw, source.points, folder)
        else:
            rated = settings.vgmidi
            raw = raw_data(rated.path, rated.url, rated.md5, downloads, "vgmidi")
            counts[dataset] = prepare_vgmidi(raw, rated, folder)
        say_counts(dataset, counts[dataset])
        write_json(
            folder / "datasets.json", provenance(settings, "pretrain_model/01_prepare_datasets.py", counts=counts)
        )
    if settings.tagged.path is not None:
        counts["tagged"] = prepare_tagged(RawData(settings.tagged.path, "tagged.path"), folder)
        say_counts("tagged", counts["tagged"])
        write_json(
            folder / "datasets.json", provenance(settings, "pretrain_model/01_prepare_datasets.py", counts=counts)
        )
    else:
        (folder / LABELS_FILE).unlink(missing_ok=True)  # of an earlier run, which 02 and 03 would use
    print(f"labels and MIDI files: {folder.resolve()}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
