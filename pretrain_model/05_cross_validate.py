"""Step 5: measure how well each kind of head predicts music outside its training data, with confidence intervals.

VGMIDI in folds by game; EMOPIA in folds by song and by its own splits. pretrain_model/cross_validation.py describes the
protocol and the predictors. Writes to output.dir: cross_validation.csv (every agreement with its 95 % interval),
cross_validation_bars.csv (predictions for every bar of VGMIDI, each by a model that had not seen its game) and
cross_validation.json. With all predictors it takes a quarter of an hour on two cores, mostly for CustomMLP.
"""

from musetok_bridge import load_encoder
from pipeline.files import provenance, write_json, write_table
from pipeline.settings import SettingsError, run_script
from pretrain_model.cross_validation import as_markdown, cross_validate
from pretrain_model.extraction import with_tagged
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.rated_pieces import load_rated_pieces
from pretrain_model.vgmidi import read_ratings

SPLITS = ("train", "val", "test")


def main(settings: PretrainSettings) -> None:
    """Compare the predictors and print the tables."""
    if not settings.cross_validate.predictors:
        raise SettingsError("'cross_validate.predictors' is empty: name what to compare")
    folder = settings.folder
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    vgmidi, emopia = (load_rated_pieces(folder, dataset, SPLITS, encoder) for dataset in ("vgmidi", "emopia"))
    tagged = load_rated_pieces(folder, "tagged", SPLITS, encoder) if "tagged" in with_tagged(folder, ()) else []
    ratings = read_ratings(folder)
    table, predictions = cross_validate(vgmidi, emopia, tagged, ratings, settings)
    write_table(folder / "cross_validation.csv", table, decimals=6)
    write_table(folder / "cross_validation_bars.csv", predictions, decimals=6)
    write_json(
        folder / "cross_validation.json",
        provenance(settings, "pretrain_model/05_cross_validate.py", encoder_digest=encoder.digest),
    )
    print(as_markdown(table))
    print(f"table: {(folder / 'cross_validation.csv').resolve()}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
