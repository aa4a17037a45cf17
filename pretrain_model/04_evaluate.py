"""Step 4: measure how well a head agrees with the ratings, on the splits evaluate.splits.

Writes to output.dir: evaluation.csv (error and correlation per bar, within pieces and per piece, for the head, a
constant and one rater), evaluation.png (predicted against rated, for the last split) and evaluation.json (the settings
and digests of the evaluation).
"""

from musetok_bridge import BarEncoder
from pipeline.files import provenance, write_json, write_table
from pipeline.settings import SettingsError, UserError, command, note, run_script, with_same_arguments
from pretrain_model.evaluation import evaluate_head, plot_evaluation
from pretrain_model.head import Head, load_head
from pretrain_model.prepared_sets import check_unchanged
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.rated_pieces import listed_pieces
from pretrain_model.rated_set import table_path
from pretrain_model.same_songs import refuse_shared


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
    encoder = settings.model.load()
    head.check_encoder(encoder)
    known = [split for split in settings.evaluate.splits if split in head.facts.get("splits", "").split("+")]
    if known:
        print(f"note: this head was trained on {' and '.join(known)}: its figures on them are for music that it knows")
    sets = settings.prepared()
    check_unchanged(settings, sets)
    if name == "trained":
        check_unseen(settings, head, encoder)
    table, predicted = evaluate_head(head, folder, sets, settings.evaluate.splits, encoder)
    write_table(folder / "evaluation.csv", table, decimals=6)
    last = [p for p in predicted if p.split == settings.evaluate.splits[-1]]
    plot_evaluation(last, folder / "evaluation.png")
    record = provenance(
        settings, "pretrain_model/04_evaluate.py", encoder_digest=encoder.digest, head_digest=head.digest
    )
    write_json(folder / "evaluation.json", record)
    print(table.to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    print(f"table and plot: {folder.resolve()}/evaluation.csv, evaluation.png")
    print(f"next: {with_same_arguments('pretrain_model/05_cross_validate.py')}")
    use = settings.annotate_command(str(trained) if name == "trained" else name, head.reads_latents)
    print(f"or, to annotate music with this head: {use}")


def check_unseen(settings: PretrainSettings, head: Head, encoder: BarEncoder) -> None:
    """Raise UserError if music of the splits to evaluate is also among what the head learned from.

    With data.same_songs: together that is only noted. Splits that the head is known to have learned from don't count.
    """
    folder, trained_splits = settings.folder, head.facts.get("splits", "").split("+")
    names = head.facts.get("trained_on", "").split("+")
    seen = [b for b in settings.sets if b.name in names and table_path(folder, b.name, "pieces").exists()]
    splits = [split for split in settings.evaluate.splits if split not in trained_splits]
    known, tested = (
        [piece for block in blocks for piece in listed_pieces(folder, block, some, encoder)]
        for blocks, some in ((seen, trained_splits), (settings.prepared(), splits))
    )
    try:
        refuse_shared((("what the head learned from", known), ("the evaluation", tested)), "were learned from")
    except UserError as error:
        if settings.data.same_songs == "refuse":
            raise
        note(f"these figures are too good: {error}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
