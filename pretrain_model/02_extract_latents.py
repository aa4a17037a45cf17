"""Step 2: compute the latents of every prepared piece with the encoder model.encoder.

Writes output.dir/latents/ENCODER/DATASET/PIECE.safetensors. A file that the same encoder made from the same MIDI file
is kept; any other is written again. Pieces that can't be used are listed in latents/ENCODER/failures.csv.
"""

from musetok_bridge import load_encoder
from pipeline.settings import run_script
from pretrain_model.extraction import extract_latents, latents_folder, with_tagged
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, chosen


def main(settings: PretrainSettings) -> None:
    """Extract the latents and print counts and failures."""
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    datasets = with_tagged(settings.folder, chosen(settings.data.datasets))
    counts, failures = extract_latents(settings.folder, datasets, encoder, settings.extract.batch_pieces)
    print("; ".join(f"{name}: {n:,}" for name, n in counts.items()))
    for row in failures.itertuples():
        print(f"left out: {row.dataset} {row.piece}: {row.reason}")
    print(f"latents: {latents_folder(settings.folder, encoder).resolve()}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
