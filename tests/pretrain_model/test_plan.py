"""config/plan.yaml and config/plan_bundled.yaml: the plan's road, each script with --config FILE and nothing else."""

import re
import runpy
from pathlib import Path

import pandas as pd
import pytest
import yaml
from script_runs import run_script

from pipeline.settings import CONFIG_DIR, PROJECT_ROOT, load_settings
from pretrain_model.head import load_head

FILES = runpy.run_path(str(PROJECT_ROOT / "docs" / "make_reference.py"))["FILES"]
PLAN, BUNDLED = CONFIG_DIR / "plan.yaml", CONFIG_DIR / "plan_bundled.yaml"


def steps(recipe: Path) -> list[str]:
    """The scripts in the order in which the file names them."""
    return re.findall(r"^#   python (\S+\.py)", recipe.read_text("utf-8"), re.MULTILINE)


def test_the_two_recipes_differ_in_the_encoder_alone() -> None:
    plan = PLAN.read_text("utf-8").replace("encoder: official", "encoder: bundled")
    bundled = BUNDLED.read_text("utf-8").replace("output/plan_bundled", "output/plan")
    assert yaml.safe_load(plan) == yaml.safe_load(bundled)
    assert steps(PLAN) == ["musetok_bridge/01_download_musetok.py", *steps(BUNDLED)]
    assert all((PROJECT_ROOT / script).exists() for script in steps(PLAN))


@pytest.mark.parametrize("recipe", [PLAN, BUNDLED])
def test_every_phase_knows_its_settings_in_them(recipe) -> None:
    for file, settings_class, _ in FILES:
        load_settings(settings_class, file, recipe)
    sections = yaml.safe_load(recipe.read_text("utf-8"))
    assert set(sections) <= {file for file, *_ in FILES}


def test_the_whole_road_with_the_bundled_encoder(emopia_zip, sample_dataset, tmp_path) -> None:
    out = tmp_path / "plan"
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        BUNDLED.read_text("utf-8").replace("output/plan_bundled", str(out))
        + f"emopia: {{path: {emopia_zip}}}\n"
        + f"dataset: {{path: {sample_dataset}}}\n"
        + "train: {max_epochs: 4, size: small}\n"
        + "cross_validate: {folds: 2, resamples: 100}\nlistener: {latent_components: 2}\n",
        encoding="utf-8",
    )
    for script in (*steps(BUNDLED), "musetok_bridge/03_encode.py", "publish_annotations/01_export.py"):
        done = run_script(script, "--config", recipe, folder=tmp_path)
        assert done.returncode == 0, f"{script}: {done.stderr}"
    head = load_head(str(out / "head_custom_mlp" / "head.safetensors"))
    assert head.reads_latents and head.levels and head.facts["trained_on"] == "emopia"
    songs = pd.concat(map(pd.read_csv, (out / "annotations" / "songs").glob("*.csv")))
    assert len(songs) == 16
    compared = pd.read_csv(out / "cross_validation.csv")
    assert {"custom_mlp", "custom_mlp_mean", "latent_sequence", "listener_whole"} <= set(compared["predictor"])
    for made in ("evaluation.csv", "analysis/report.html", "export/README.md", "latents_of_songs/run.json"):
        assert (out / made).exists(), made
    assert not (tmp_path / "output").exists()


def test_a_head_of_fewer_levels_is_annotated_with_those_levels(emopia_zip, sample_dataset, tmp_path) -> None:
    out = tmp_path / "plan"
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        BUNDLED.read_text("utf-8").replace("output/plan_bundled", str(out))
        + f"emopia: {{path: {emopia_zip}}}\ndataset: {{path: {sample_dataset}}}\ntrain: {{max_epochs: 2}}\n",
        encoding="utf-8",
    )
    for script in ("01_prepare_datasets", "02_extract_latents", "03_train"):
        done = run_script(f"pretrain_model/{script}.py", "--config", recipe, "--set", "model.levels=3")
        assert done.returncode == 0, done.stderr
    assert load_head(str(out / "head_custom_mlp" / "head.safetensors")).levels == 3
    done = run_script("process_gigamidi/01_annotate.py", "--config", recipe)
    assert done.returncode == 0, done.stderr
    assert '"model.levels": 3' in (out / "annotations" / "run.json").read_text()
    done = run_script("process_gigamidi/01_annotate.py", "--config", recipe, "--set", "model.levels=4")
    assert done.returncode == 2 and "set model.levels=3" in done.stderr
    done = run_script("pretrain_model/04_evaluate.py", "--config", recipe)  # model.levels is all here
    assert done.returncode == 2 and "set model.levels=3" in done.stderr
