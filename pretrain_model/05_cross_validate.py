"""Step 5: measure how well each kind of head predicts music outside its training data, with confidence intervals.

All sets of data.train_on and those of data.datasets with use: measure, in folds by their groups.
pretrain_model/cross_validation.py describes the protocol, predictors.py what is compared, and set_comparison.py how it
is measured whether learning from a set helps on the others. Writes to output.dir: cross_validation.csv (every agreement
with its 95 % interval), cross_validation_sets.csv (with and without each set), cross_validation_bars.csv (predictions
for every bar of sets with curves, each by a model that had not seen its group) and cross_validation.json. With EMOPIA,
VGMIDI and all predictors it takes a quarter of an hour on two cores, mostly for CustomMLP.
"""

from pipeline.files import provenance, write_json, write_table
from pipeline.settings import SettingsError, WeightsError, run_script, with_same_arguments
from pretrain_model.cross_validation import Protocol, as_markdown, cross_validate, sets_to_compare
from pretrain_model.head import load_head
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.rated_set import read_set_table, table_path
from pretrain_model.set_comparison import compare_sets, comparison_as_markdown


def main(settings: PretrainSettings) -> None:
    """Compare the predictors and the sets, and print the tables."""
    options = settings.cross_validate
    if not options.predictors:
        raise SettingsError("'cross_validate.predictors' is empty: name what to compare")
    folder = settings.folder
    encoder = settings.model.load()
    sets = sets_to_compare(settings, encoder)
    raters = {
        name: read_set_table(folder, name, "raters")
        for name, pieces in sets.items()
        if pieces[0].kind == "curve" and table_path(folder, name, "raters").exists()
    }
    protocol = Protocol(sets, settings)
    table, predictions = cross_validate(protocol, raters, settings)
    write_table(folder / "cross_validation.csv", table, decimals=6)
    write_table(folder / "cross_validation_bars.csv", predictions, decimals=6)
    print(as_markdown(table))
    (folder / "cross_validation_sets.csv").unlink(missing_ok=True)  # of an earlier run
    if options.compare_sets:
        listener = f"listener_{settings.listener.context}"
        helps = compare_sets(protocol, listener, options.resamples, settings.train.seed)
        write_table(folder / "cross_validation_sets.csv", helps, decimals=6)
        print(f"\n{comparison_as_markdown(helps)}")
    write_json(
        folder / "cross_validation.json",
        provenance(settings, "pretrain_model/05_cross_validate.py", encoder_digest=encoder.digest),
    )
    print(f"table: {(folder / 'cross_validation.csv').resolve()}")
    trained = settings.head_folder / "head.safetensors"
    try:
        use = settings.annotate_command(str(trained), load_head(str(trained)).reads_latents)
        print(f"next, to annotate music with the trained head: {use}")
    except WeightsError:  # there is none, or none of this version
        print(f"next: {with_same_arguments('pretrain_model/03_train.py')}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
