"""Step 2: compute the latents of every prepared piece with the encoder model.encoder.

Writes output.dir/latents/ENCODER/SET/PIECE.safetensors. A file that the same encoder made from the same MIDI file
is kept; any other is written again. Pieces that can't be used are listed in latents/ENCODER/failures.csv. Songs that
process_gigamidi/03_match_ratings.py finds have their latents from there.
"""

from pipeline.settings import run_script, with_same_arguments
from pretrain_model.extraction import extract_latents, latents_folder
from pretrain_model.prepared_sets import check_unchanged
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings


def main(settings: PretrainSettings) -> None:
    """Extract the latents and print counts and failures."""
    check_unchanged(settings, settings.prepared())
    encoder = settings.model.load()
    names = [block.name for block in settings.prepared()]
    counts, failures = extract_latents(settings.folder, names, encoder, settings.extract.batch_pieces)
    print("; ".join(f"{name}: {n:,}" for name, n in counts.items()))
    for row in failures.itertuples():
        print(f"left out: {row.dataset} {row.piece}: {row.reason}")
    print(f"latents: {latents_folder(settings.folder, encoder).resolve()}")
    print(f"next: {with_same_arguments('pretrain_model/03_train.py')}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
