"""Files that are no head, or whose head is damaged or hostile, are refused in one line before they fill the memory."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pipeline.settings import WeightsError
from pretrain_model.head import BUNDLED_FILES, load_head

Tensors = dict[str, torch.Tensor]
HEADS = ("bundled", "bundled_heard", "bundled_mlp")


def refusal(path: Path) -> str:
    """What the error says of a file that is not to be loaded."""
    with pytest.raises(WeightsError) as caught:
        load_head(str(path))
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert str(path) in message and "\n" not in message and len(message) < 600
    return message


def bundled(name: str) -> tuple[Tensors, dict[str, str]]:
    with safe_open(BUNDLED_FILES[name], framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata())  # noqa: SIM118


def changed_head(name: str, folder: Path, change: Callable[[torch.Tensor], torch.Tensor], **facts: str) -> Path:
    """A bundled head with its last tensor changed, and other metadata."""
    tensors, metadata = bundled(name)
    last = max(tensors)
    path = folder / "head.safetensors"
    save_file(tensors | {last: change(tensors[last]).contiguous()}, path, metadata | facts)
    return path


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.to(torch.bfloat16), "BF16, not F32"),
        (lambda w: w.half(), "F16, not F32"),
        (lambda w: w.double(), "F64, not F32"),
        (lambda w: w.to(torch.int8), "I8, not F32"),
        (lambda w: w.to(torch.float8_e4m3fn), "F8_E4M3, not F32"),
        (lambda w: w > 0, "BOOL, not F32"),
        (lambda w: w.long(), "I64, not F32"),
        (lambda w: w * torch.nan, "not finite"),
        (lambda w: w + torch.inf, "not finite"),
        (lambda w: w[:0], "is not that of a"),
        (lambda w: w[None], "is not that of a"),
    ],
)
def test_a_head_with_other_numbers_is_refused(
    name: str, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], told: str
) -> None:
    assert told in refusal(changed_head(name, tmp_path, change))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("width", ["1000000000000", "100000000", "9" * 5000, "٥٩", "-1", "0", "", "1e3", "²", "6\n0"])
def test_a_width_that_the_tensors_do_not_have_is_refused(name: str, width: str, tmp_path: Path) -> None:
    refusal(changed_head(name, tmp_path, lambda w: w, width=width))


@pytest.mark.parametrize(
    ("name", "facts", "told"),
    [
        ("bundled", {"kind": "oracle"}, "no kind of head"),
        ("bundled", {"kind": "custom_mlp"}, "lack 'size'"),
        ("bundled", {"context": "x\n" * 10_000}, "its context is"),
        ("bundled", {"features": "1\n" * 10_000}, "train it again"),
        ("bundled_mlp", {"kind": "listener"}, "lack 'context'"),
        ("bundled_mlp", {"size": "x\n" * 10_000}, "its size is"),
        ("bundled_mlp", {"dropout": "much"}, "much"),
        ("bundled_mlp", {"dropout": "7"}, "dropout"),
    ],
)
def test_metadata_that_no_head_has_are_refused(name: str, facts: dict[str, str], told: str, tmp_path: Path) -> None:
    assert told in refusal(changed_head(name, tmp_path, lambda w: w, **facts))


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_lacks_something_is_refused(name: str, tmp_path: Path) -> None:
    tensors, metadata = bundled(name)
    path = tmp_path / "head.safetensors"
    for missing in ("kind", "width", "features", "encoder_digest"):
        save_file(tensors, path, {key: value for key, value in metadata.items() if key != missing})
        assert "metadata" in refusal(path)
    for missing in tensors:
        save_file({key: values for key, values in tensors.items() if key != missing}, path, metadata)
        assert missing in refusal(path)
    save_file(tensors | {"x\n" * 1000: torch.zeros(1)}, path, metadata)
    assert "is not that of a" in refusal(path)
    save_file(tensors | {str(i): torch.zeros(1) for i in range(2000)}, path, metadata)
    assert "tensors" in refusal(path)


def test_a_custom_mlp_whose_scale_is_not_above_0_is_refused(tmp_path: Path) -> None:
    tensors, metadata = bundled("bundled_mlp")
    path = tmp_path / "head.safetensors"
    for name, values in (("std", torch.zeros_like(tensors["std"])), ("sd", torch.tensor([-1.0, 0.1]))):
        save_file(tensors | {name: values}, path, metadata)
        assert "not above 0" in refusal(path)


@pytest.mark.parametrize(
    "facts",
    [
        {"latent": "64", "components": "0"},
        {"latent": "0", "components": "16"},
        {"latent": "64", "components": "80"},
        {"latent": "999999", "components": "1"},
        {"latent": "-1", "components": "1"},
        {"latent": "64", "components": "16"},  # without the tensors
        {"levels": "0"},
        {"levels": "many"},
    ],
)
def test_a_listener_whose_latents_do_not_fit_is_refused(tmp_path: Path, facts) -> None:
    tensors, metadata = bundled("bundled")
    path = tmp_path / "head.safetensors"
    save_file(tensors, path, metadata | facts)
    refusal(path)


def test_files_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    whole = BUNDLED_FILES["bundled"].read_bytes()
    claims = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    for content in (
        b"",
        os.urandom(1000),
        whole[: len(whole) // 2],
        whole + b"0",
        struct.pack("<Q", 10**15) + whole[8:],
        struct.pack("<Q", len(claims)) + claims,
    ):
        path.write_bytes(content)
        refusal(path)
    torch.save({"a": torch.zeros(1)}, path)
    refusal(path)
    np.save(tmp_path / "head.npy", np.zeros(3))
    refusal(tmp_path / "head.npy")


def test_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for path in (tmp_path, tmp_path / "pipe.safetensors"):
        assert "no file" in refusal(path)
