"""Step 2: the latents of every prepared piece, by the encoder model.encoder.

Writes output.dir/latents/ENCODER/DATASET/PIECE.safetensors. What the same encoder made from the same MIDI file before
is skipped; what another one made is written anew. A piece that can't be used is listed in failures.csv beside them.
"""

from musetok_bridge import load_encoder
from pipeline.settings import run_script
from pretrain_model.extraction import extract_latents, latents_folder
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, chosen


def main(settings: PretrainSettings) -> None:
    """Extract the latents and print counts and failures."""
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    datasets = chosen(settings.data.datasets)
    counts, failures = extract_latents(settings.folder, datasets, encoder, settings.extract.batch_pieces)
    print("; ".join(f"{what}: {n:,}" for what, n in counts.items()))
    for row in failures.itertuples():
        print(f"left out: {row.dataset} {row.piece}: {row.reason}")
    print(f"latents: {latents_folder(settings.folder, encoder).resolve()}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
