from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from script_runs import Done, run_script
from small_dataset import song

from musetok_bridge import load_encoder
from musetok_bridge.bar_transformer import BarTransformer
from musetok_bridge.checkpoint import EncoderConfig
from pretrain_model.custom_mlp import CustomMLP, MLPConfig
from pretrain_model.head import save_head

SCRIPT = "process_gigamidi/01_annotate.py"
TINY = EncoderConfig(layers=1, heads=4, width=16, feed_forward=16, latent=8, levels=2, codebook=8)


@pytest.fixture
def untrained(tmp_path: Path) -> list[str]:
    """Settings that name an untrained encoder and an untrained head."""
    encoder, head = tmp_path / "encoder.pt", tmp_path / "head.safetensors"
    torch.manual_seed(0)
    torch.save(BarTransformer(TINY).state_dict(), encoder)
    save_head(head, CustomMLP(MLPConfig(TINY.latent, "small", 0.0)), load_encoder(str(encoder)).digest, {})
    return ["--set", f"model.encoder={encoder}", "--set", f"model.head={head}"]


def annotate(folder: Path, *arguments: str) -> Done:
    return run_script(SCRIPT, *arguments, folder=folder)


def test_a_folder_of_midi_files_is_annotated_by_one_command(tmp_path: Path, untrained: list[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.mid").write_bytes(song(3))
    (tmp_path / "mine" / "b.mid").write_bytes(b"no music")
    ran = annotate(tmp_path, *untrained, "--set", "dataset.path=mine", "--set", "output.dir=out")
    assert ran.returncode == 0, ran.stderr
    assert "1 song annotated, 3 bars, 1 failed" in ran.stdout
    assert len((tmp_path / "out" / "bars" / "part-00000.csv").read_text().splitlines()) == 1 + 3
    assert (tmp_path / "out" / "run.json").is_file()


def test_a_path_that_is_not_there_is_one_line(tmp_path: Path, untrained: list[str]) -> None:
    ran = annotate(tmp_path, *untrained, "--set", "dataset.path=nowhere")
    assert ran.returncode == 1
    assert ran.stderr == "error: dataset.path: nowhere does not exist\n"
    assert not (tmp_path / "output").exists()


def test_an_encoder_that_the_head_does_not_read_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(song(3))
    ran = annotate(
        tmp_path, "--set", "dataset.path=a.mid", "--set", "output.dir=out", "--set", "model.encoder=official"
    )
    assert ran.returncode == 0, ran.stderr
    assert "head 'bundled' reads no latents: model.encoder is not used" in ran.stderr


def test_conversion_workers_need_neither_torch_nor_datasets() -> None:
    code = "import musetok_bridge.conversion, sys; print({'torch', 'datasets'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "set()"
