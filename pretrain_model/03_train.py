"""Step 3: train a head on the files of step 2: the listener, or CustomMLP (train.head).

Writes output.dir/head/head.safetensors and run.json. The listener is trained on the splits listener.splits of EMOPIA,
VGMIDI or both (data.train_on), and on all tagged songs that step 1 prepared. CustomMLP is trained on the split train
and stops when the loss on the split val has not fallen for train.patience epochs; the weights of the best epoch are
kept, and losses.csv lists all losses.
"""

from typing import Any

from musetok_bridge import BarEncoder, load_encoder
from pipeline.files import provenance, write_json, write_table
from pipeline.settings import SettingsError, run_script
from pretrain_model.extraction import with_tagged
from pretrain_model.head import Model, load_head, save_head
from pretrain_model.listener_training import train_listener
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, chosen
from pretrain_model.rated_pieces import load_rated_pieces, rated_bars
from pretrain_model.training import train_head

_SPLITS = {"tagged": ("train",)}  # tagged songs have no other; they are judged by cross-validation


def main(settings: PretrainSettings) -> None:
    """Train and save the head."""
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    train = train_the_listener if settings.train.head == "listener" else train_custom_mlp
    model, reads_latents, facts = train(settings, encoder)
    if reads_latents:
        facts["encoder"] = encoder.name
    path = settings.head_folder / "head.safetensors"
    encoder_digest = encoder.digest if reads_latents else ""
    save_head(path, model, encoder_digest, {name: str(fact) for name, fact in facts.items()})
    record = provenance(
        settings,
        "pretrain_model/03_train.py",
        encoder_digest=encoder_digest,
        head_digest=load_head(str(path)).digest,
        **facts,
    )
    write_json(settings.head_folder / "run.json", record)
    print(f"head: {path.resolve()}")


def train_the_listener(settings: PretrainSettings, encoder: BarEncoder) -> tuple[Model, bool, dict[str, Any]]:
    """Train a listener; returns the model, whether it reads latents, and facts for its file."""
    splits = settings.listener.splits
    if not splits:
        raise SettingsError("'listener.splits' is empty: name one or more of train, val, test")
    datasets = with_tagged(settings.folder, chosen(settings.data.train_on))
    pieces = {d: load_rated_pieces(settings.folder, d, _SPLITS.get(d, splits), encoder) for d in datasets}
    model = train_listener([piece for rated in pieces.values() for piece in rated], settings.listener)
    (settings.head_folder / "losses.csv").unlink(missing_ok=True)  # it may be left from a CustomMLP in this folder
    counts = "; ".join(
        f"{d}: {len(rated):,} pieces, {sum(len(p.rated) for p in rated):,} bars" for d, rated in pieces.items()
    )
    print(counts)
    facts = {"trained_on": "+".join(datasets), "splits": "+".join(splits), "pieces": counts}
    return model, settings.listener.reads == "performance_and_latents", facts


def train_custom_mlp(settings: PretrainSettings, encoder: BarEncoder) -> tuple[Model, bool, dict[str, Any]]:
    """Train a CustomMLP; returns the model, True (it reads latents), and facts for its file."""
    train, val = (
        [rated_bars(load_rated_pieces(settings.folder, d, [split], encoder)) for d in chosen(settings.data.train_on)]
        for split in ("train", "val")
    )
    trained = train_head(train, val, settings.train)
    write_table(settings.head_folder / "losses.csv", trained.losses)
    print(f"best epoch {trained.best_epoch} of {len(trained.losses)}, validation loss {trained.best_loss:.4f}")
    facts = {"trained_on": "+".join(chosen(settings.data.train_on)), "seed": settings.train.seed}
    facts |= {"splits": "train", "loss": settings.train.loss, "best_epoch": trained.best_epoch}
    return trained.model, True, facts | {"validation_loss": f"{trained.best_loss:.6f}"}


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
