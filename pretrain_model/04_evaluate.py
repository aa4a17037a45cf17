"""Step 4: how well a head agrees with the ratings, on the splits evaluate.splits.

Writes output.dir/evaluation.csv (error and correlation per bar and per piece, beside a constant and one listener),
evaluation.png (predicted against rated, last of the splits) and evaluation.json (what was evaluated).
"""

import pandas as pd

from musetok_bridge import load_encoder
from musetok_bridge.provenance import provenance, write_json, written_whole
from musetok_bridge.settings import SettingsError, run_script
from pretrain_model.evaluation import evaluate_one_listener, evaluate_predictor, tidy
from pretrain_model.evaluation_plot import Panel, plot_evaluation
from pretrain_model.head import load_head
from pretrain_model.latent_dataset import load_rated_bars
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, chosen
from pretrain_model.vgmidi import RATINGS_FILE


def main(settings: PretrainSettings) -> None:
    """Evaluate the head on every chosen dataset and split."""
    if not settings.evaluate.splits:
        raise SettingsError("'evaluate.splits' is empty: name one or more of train, val, test")
    folder = settings.folder
    name = settings.evaluate.head
    head = load_head(str(settings.head_folder / "head.safetensors") if name == "trained" else name, device="cpu")
    encoder = load_encoder(settings.model.encoder, device=settings.model.device, dtype=settings.model.dtype)
    head.check_encoder(encoder)
    tables, panels = [], []
    for dataset in chosen(settings.data.datasets):
        mean = load_rated_bars(folder, dataset, "train", encoder).targets.mean(axis=0)
        for split in settings.evaluate.splits:
            bars = load_rated_bars(folder, dataset, split, encoder)
            predicted = head.predict(bars.latents)
            constant = mean[None].repeat(len(bars), axis=0)
            found = {
                "head": evaluate_predictor(predicted, bars, dataset == "emopia"),
                "constant": evaluate_predictor(constant, bars, dataset == "emopia"),
            }
            if dataset == "vgmidi":
                found["one_listener"] = evaluate_one_listener(pd.read_csv(folder / RATINGS_FILE), bars)
            tables += [t.assign(dataset=dataset, split=split, predictor=p) for p, t in found.items()]
        panels.append(Panel(dataset, split, bars, predicted))
    table = tidy(tables)
    with written_whole(folder / "evaluation.csv") as beside:
        table.to_csv(beside, index=False, float_format="%.6f")
    plot_evaluation(panels, folder / "evaluation.png")
    record = provenance(settings, encoder_digest=encoder.digest, head_digest=head.digest)
    write_json(folder / "evaluation.json", record)
    print(table.to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    print(f"table and plot: {folder.resolve()}/evaluation.csv, evaluation.png")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__, main)
