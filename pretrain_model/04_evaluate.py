"""Step 4: measure how well a head agrees with the ratings, on the splits evaluate.splits.

Writes to output.dir: evaluation.csv (error and correlation per bar, within pieces and per piece, for the head, a
constant and one rater), evaluation.png (predicted against rated, for the last split) and evaluation.json (the settings
and digests of the evaluation).
"""

from musetok_bridge import load_encoder
from pipeline.files import provenance, write_json, write_table
from pipeline.settings import SettingsError, UserError, command, run_script
from pretrain_model.evaluation import evaluate_head, plot_evaluation
from pretrain_model.head import load_head
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings


def main(settings: PretrainSettings) -> None:
    """Evaluate the head on every chosen dataset and split."""
    if not settings.evaluate.splits:
        raise SettingsError("'evaluate.splits' is empty: name one or more of train, val, test")
    folder = settings.folder
    name, trained = settings.evaluate.head, settings.head_folder / "head.safetensors"
    if name == "trained" and not trained.exists():
        train = command("pretrain_model/03_train.py")
        raise UserError(f"{trained} does not exist: run {train} first, or set evaluate.head")
    head = load_head(str(trained) if name == "trained" else name, device="cpu")
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    head.check_encoder(encoder)
    known = [split for split in settings.evaluate.splits if split in head.facts.get("splits", "").split("+")]
    if known:
        print(f"note: this head was trained on {' and '.join(known)}: its figures on them are for music that it knows")
    table, predicted = evaluate_head(head, folder, settings.prepared(), settings.evaluate.splits, encoder)
    write_table(folder / "evaluation.csv", table, decimals=6)
    last = [p for p in predicted if p.split == settings.evaluate.splits[-1]]
    plot_evaluation(last, folder / "evaluation.png")
    record = provenance(
        settings, "pretrain_model/04_evaluate.py", encoder_digest=encoder.digest, head_digest=head.digest
    )
    write_json(folder / "evaluation.json", record)
    print(table.to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    print(f"table and plot: {folder.resolve()}/evaluation.csv, evaluation.png")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
