import shutil
import zipfile

import numpy as np
import pytest
import requests
import torch
from safetensors import safe_open

from musetok_bridge import load_encoder, official_release
from musetok_bridge.checkpoint import EncoderConfig
from musetok_bridge.official_release import convert_release, download_release, release_shapes
from musetok_bridge.tokenizer_settings import SETTINGS_FILE, TokenizerSettings
from pipeline.settings import UserError, WeightsError, load_settings

TINY = EncoderConfig(layers=2, heads=4, width=32, feed_forward=64, latent=16, levels=4, codebook=32)
MEMBER = "ckpt/best_tokenizer/model.pt"


@pytest.fixture
def release(tiny_checkpoint, tmp_path):
    """A zip in the release's layout, with both tokenizer and generator."""
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.write(tiny_checkpoint, MEMBER)
        zipped.writestr("ckpt/best_generator/model.pt", b"another model")
    return path


def download_settings(folder, **changes):
    overrides = [f"download.dir={folder}", *(f"download.{key}={value}" for key, value in changes.items())]
    return load_settings(TokenizerSettings, SETTINGS_FILE, overrides=overrides).download


def test_the_release_has_its_published_size():
    assert sum(int(np.prod(shape)) for shape in release_shapes().values()) == 94_055_208


def test_everything_but_the_decoder_is_kept(release, tmp_path, tiny_checkpoint):
    path = convert_release(release, tmp_path / "out", TINY)
    with safe_open(path, framework="numpy") as file:
        kept = set(file.keys())
    assert kept == {name for name in release_shapes(TINY) if not name.startswith(("decoder.", "dec_out_proj."))}
    assert load_encoder(str(path)).digest == load_encoder(str(tiny_checkpoint)).digest
    assert [p.name for p in path.parent.iterdir()] == ["encoder.safetensors"]


def test_a_given_zip_is_converted_without_a_connection(release, tmp_path, monkeypatch):
    monkeypatch.setattr(official_release.gdown, "download", lambda **_: pytest.fail("asked the network"))
    download_release(download_settings(tmp_path / "out", zip=release), TINY)
    assert (tmp_path / "out" / "encoder.safetensors").exists()
    assert release.exists()


def test_a_download_is_resumed_and_not_repeated(release, tmp_path, monkeypatch):
    calls = []

    def download(id, output, resume):
        calls.append((id, resume))
        shutil.copy(release, output)

    monkeypatch.setattr(official_release.gdown, "download", download)
    settings = download_settings(tmp_path / "out")
    download_release(settings, TINY)
    download_release(settings, TINY)
    assert calls == [("1HK534lEVdHYl3HMRkKvz8CWYliXRmOq_", True)]


def test_without_a_connection_the_message_says_how_to_do_it_by_hand(tmp_path, monkeypatch):
    def download(**_):
        raise requests.exceptions.ConnectionError("no route")

    monkeypatch.setattr(official_release.gdown, "download", download)
    with pytest.raises(UserError) as caught:
        download_release(download_settings(tmp_path / "out"), TINY)
    assert "1HK534lEVdHYl3HMRkKvz8CWYliXRmOq_" in str(caught.value)
    assert str(tmp_path / "out" / "musetok_release.zip") in str(caught.value)


@pytest.mark.parametrize("member", ["../../best_tokenizer/model.pt", "/tmp/elsewhere/best_tokenizer/model.pt"])
def test_no_path_in_the_zip_writes_outside_the_folder(tiny_checkpoint, tmp_path, member):
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.write(tiny_checkpoint, member)
        zipped.writestr("../../escaped.txt", b"out")
    out = tmp_path / "deep" / "down" / "out"
    convert_release(path, out, TINY)
    everything = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    assert everything == ["encoder.safetensors", "release.zip"]


def test_wrong_shapes_are_named_and_no_file_is_left(release, tmp_path):
    with pytest.raises(UserError, match="does not fit"):
        convert_release(release, tmp_path / "out")  # tiny is not the released size
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", [b"<html>quota exceeded</html>", b"PK\x03\x04 cut short", b""])
def test_a_file_that_is_not_a_zip_is_refused(tmp_path, content):
    path = tmp_path / "release.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a complete zip"):
        convert_release(path, tmp_path / "out", TINY)


def test_a_zip_without_the_tokenizer_is_refused(tmp_path):
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("readme.txt", "nothing here")
    with pytest.raises(UserError, match="best_tokenizer"):
        convert_release(path, tmp_path / "out", TINY)


def test_the_decoder_is_checked_too(tiny_state, tmp_path):
    state = {name: values for name, values in tiny_state.items() if name != "dec_out_proj.bias"}
    torch.save(state, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as zipped:
        zipped.write(tmp_path / "model.pt", MEMBER)
    with pytest.raises(UserError, match=r"dec_out_proj\.bias is missing"):
        convert_release(tmp_path / "release.zip", tmp_path / "out", TINY)


def test_bad_numbers_are_refused_by_the_name_of_the_zip(tiny_state, tmp_path):
    torch.save(tiny_state | {"enc_out_proj.bias": torch.full((16,), torch.nan)}, tmp_path / "model.pt")
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.write(tmp_path / "model.pt", MEMBER)
    with pytest.raises(WeightsError, match=r"release\.zip: .*: enc_out_proj\.bias holds .* not finite") as caught:
        convert_release(path, tmp_path / "out", TINY)
    assert caught.value.exit_code == 2 and list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_refused(tmp_path, method):
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w", method) as zipped:
        zipped.writestr(MEMBER, bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    start = 30 + len(MEMBER)
    content[start + 8 : start + 40] = b"\xff" * 32
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a complete zip"):
        convert_release(path, tmp_path / "out", TINY)
