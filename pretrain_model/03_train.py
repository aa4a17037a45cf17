"""Step 3: train a head on the files of step 2: the listener, or CustomMLP (train.head).

Writes output.dir/head/head.safetensors and run.json; for CustomMLP to output.dir/head_custom_mlp. The listener is
trained on the splits listener.splits of the sets in data.train_on, of any kind, at most listener.largest_set pieces of
each, and sets.csv lists the scale of each: its offset, slope and noise against the numbers that are predicted.
CustomMLP is trained on the split train of the sets on the common scale, and stops when the loss on the split val has
not fallen for train.patience epochs; the weights of the best epoch are kept, and losses.csv lists all losses. The file
of the head names its sets, with their licences and what to cite.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from musetok_bridge import BarEncoder
from pipeline.files import provenance, write_json, write_table
from pipeline.settings import SettingsError, UserError, note, one_line, run_script, with_same_arguments
from pretrain_model.head import Model, load_head, save_head
from pretrain_model.known_sets import LONGEST_TERMS
from pretrain_model.listener_training import train_with_scales
from pretrain_model.prepared_sets import check_unchanged
from pretrain_model.pretrain_settings import SETTINGS_FILE, SPLITS, PretrainSettings, SetSettings
from pretrain_model.rated_pieces import Piece, RatedPiece, listed_pieces, load_rated_pieces, rated_bars
from pretrain_model.rated_set import table_path
from pretrain_model.same_songs import refuse_shared, without_same
from pretrain_model.set_scales import scales_table
from pretrain_model.training import train_head


def main(settings: PretrainSettings) -> None:
    """Train and save the head."""
    encoder = settings.model.load()
    train = train_the_listener if settings.train.head == "listener" else train_custom_mlp
    model, reads_latents, facts = train(settings, encoder)
    if reads_latents:
        facts |= {"encoder": encoder.name, "levels": encoder.levels}
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
    print(f"next: {with_same_arguments('pretrain_model/04_evaluate.py')}")
    print(f"or, to annotate music with it: {settings.annotate_command(str(path), reads_latents)}")


def train_the_listener(settings: PretrainSettings, encoder: BarEncoder) -> tuple[Model, bool, dict[str, Any]]:
    """Train a listener; returns the model, whether it reads latents, and facts for its file."""
    splits = settings.listener.splits
    if not splits:
        raise SettingsError("'listener.splits' is empty: name one or more of train, val, test")
    pieces = pieces_of(settings, splits, encoder, most=settings.listener.largest_set)
    trained = train_with_scales([piece for rated in pieces.values() for piece in rated], settings.listener)
    counts = "; ".join(
        f"{d}: {len(rated):,} pieces, {sum(len(p.rated) for p in rated):,} bars" for d, rated in pieces.items()
    )
    print(counts)
    table = scales_table(trained.scales)
    write_table(settings.head_folder / "sets.csv", table, decimals=6)
    if len(table):
        print(table.to_string(index=False, float_format="{:.3f}".format))
    if trained.anchor:
        note(f"no set has scale: common, so the numbers that are predicted are on the scale of {trained.anchor}")
    for name in table.loc[table.groupby("set")["trust"].transform("max") == 0, "set"].unique():
        note(f"{name} is not learned from: its ratings don't surely follow what the common sets teach (sets.csv)")
    facts = {"trained_on": "+".join(pieces), "splits": "+".join(splits), "pieces": counts, "sets": terms(pieces)}
    return trained.listener, settings.listener.reads == "performance_and_latents", facts


def train_custom_mlp(settings: PretrainSettings, encoder: BarEncoder) -> tuple[Model, bool, dict[str, Any]]:
    """Train a CustomMLP; returns the model, True (it reads latents), and facts for its file."""
    train = pieces_of(settings, ["train"], encoder, scale="common")
    val = pieces_of(settings, ["val"], encoder, scale="common", apart_from=["test"])  # train is apart from val already
    bars, val_bars = ([rated_bars(rated) for rated in part.values()] for part in (train, val))
    trained = train_head(bars, val_bars, settings.train)
    write_table(settings.head_folder / "losses.csv", trained.losses)
    print(f"best epoch {trained.best_epoch} of {len(trained.losses)}, validation loss {trained.best_loss:.4f}")
    facts = {"trained_on": "+".join(train), "seed": settings.train.seed, "sets": terms(train)}
    facts |= {"splits": "train", "loss": settings.train.loss, "best_epoch": trained.best_epoch}
    return trained.model, True, facts | {"validation_loss": f"{trained.best_loss:.6f}"}


def pieces_of(
    settings: PretrainSettings,
    splits: Sequence[str],
    encoder: BarEncoder,
    scale: str | None = None,
    apart_from: Sequence[str] | None = None,
    most: int | None = None,
) -> dict[str, list[RatedPiece]]:
    """The pieces of these splits of every set to learn from, by the set's name, without the music of other splits.

    scale: take only sets with this one. apart_from: the other splits, if not all others. most: pieces of a set. Raises
    UserError if none is left, or with data.same_songs: refuse if the same music is in the other splits.
    """
    blocks = [block for block in settings.trained_on() if scale in (None, block.scale)]
    check_unchanged(settings, blocks)
    if not blocks:
        raise SettingsError("'data.train_on' names no set with scale: common, which custom_mlp learns from")
    kept = [piece for block in blocks for piece in read(settings, block, splits, encoder, most)]
    if apart_from is None:
        apart_from = [split for split in SPLITS if split not in splits]
    others = in_splits(settings, blocks, apart_from, encoder)
    if settings.data.same_songs == "refuse":
        named = (("the splits to train on", kept), ("the others", others))
        refuse_shared(named, "would be in training and test data at once")
    else:
        kept = without_same(kept, others)
    found = {block.name: [piece for piece in kept if piece.dataset == block.name] for block in blocks}
    if not (found := {name: rated for name, rated in found.items() if rated}):
        raise UserError(f"no set of data.train_on has pieces of the split {' or '.join(splits)}")
    return found


def read(
    settings: PretrainSettings, block: SetSettings, splits: Sequence[str], encoder: BarEncoder, most: int | None
) -> list[RatedPiece]:
    """A set's pieces of some splits, which may be none. Raises UserError if it has no pieces in any split."""
    found = load_rated_pieces(settings.folder, block, splits, encoder, may_be_none=True, most=most)
    if not found:
        load_rated_pieces(settings.folder, block, SPLITS, encoder, most=1)
    return found


def in_splits(
    settings: PretrainSettings, blocks: Sequence[SetSettings], splits: Sequence[str], encoder: BarEncoder
) -> list[Piece]:
    """Who is in some splits of all prepared sets, also those that are not learned from. blocks: those that are."""
    more = [block for block in settings.prepared() if block not in blocks]
    known = [block for block in more if table_path(settings.folder, block.name, "pieces").exists()]
    return [piece for block in (*blocks, *known) for piece in listed_pieces(settings.folder, block, splits, encoder)]


def terms(pieces: Mapping[str, Sequence[RatedPiece]]) -> str:
    """The sets of a head as JSON: name, adapter, kind, licence, citation and number of pieces of each."""
    of = {name: rated[0].of for name, rated in pieces.items()}
    return json.dumps(
        [
            {
                "name": name,
                "adapter": block.adapter,
                "kind": block.rated_as,
                **{key: one_line(text, LONGEST_TERMS) for key, text in block.terms.items()},
                "pieces": len(pieces[name]),
            }
            for name, block in of.items()
        ],
        ensure_ascii=False,
    )


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
