"""Step 3: train the head, latent -> valence and arousal, on the latents of step 2.

Writes output.dir/head/head.safetensors (the best epoch's weights), losses.csv and run.json. Trains on EMOPIA, on VGMIDI
or on both (data.train_on); stops when the validation loss has not fallen for train.patience epochs.
"""

from musetok_bridge import load_encoder
from musetok_bridge.provenance import provenance, write_json, write_table
from musetok_bridge.settings import run_script
from pretrain_model.head import load_head, save_head
from pretrain_model.latent_dataset import load_rated_bars
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, chosen
from pretrain_model.training import train_head


def main(settings: PretrainSettings) -> None:
    """Train and save the head."""
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    datasets = chosen(settings.data.train_on)
    train, val = ([load_rated_bars(settings.folder, d, split, encoder) for d in datasets] for split in ("train", "val"))
    trained = train_head(train, val, settings.train)

    folder = settings.head_folder
    facts = {"trained_on": "+".join(datasets), "seed": settings.train.seed, "loss": settings.train.loss}
    facts |= {"best_epoch": trained.best_epoch, "validation_loss": f"{trained.best_loss:.6f}", "encoder": encoder.name}
    path = folder / "head.safetensors"
    save_head(path, trained.model, encoder.digest, {name: str(fact) for name, fact in facts.items()})
    write_table(folder / "losses.csv", trained.losses)
    bars = {d: {"train": len(t), "val": len(v)} for d, t, v in zip(datasets, train, val, strict=True)}
    record = provenance(
        settings, encoder_digest=encoder.digest, head_digest=load_head(str(path)).digest, bars=bars, **facts
    )
    write_json(folder / "run.json", record)
    print(f"best epoch {trained.best_epoch} of {len(trained.losses)}, validation loss {trained.best_loss:.4f}")
    print(f"head: {path.resolve()}")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
