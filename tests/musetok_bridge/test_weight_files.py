"""Checkpoints that are damaged, hostile or of another kind are refused in one line, before they can fill the memory."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from musetok_bridge import load_encoder
from musetok_bridge.checkpoint import encoder_tensors
from pipeline.settings import PROJECT_ROOT, WeightsError

State = dict[str, torch.Tensor]
WEIGHT = "enc_out_proj.weight"  # (16, 32) in the tiny encoder
EMBEDDING = "token_emb.emb_lookup.weight"


def refusal(path: Path) -> str:
    """What the error says of a file that is not to be loaded."""
    with pytest.raises(WeightsError) as caught:
        encoder_tensors(path)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert str(path) in message and "\n" not in message and len(message) < 600
    return message


def saved(state: object, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    torch.save(state, path)
    return path


@pytest.mark.filterwarnings("ignore")  # torch warns of some of these kinds
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.to_sparse(), "_rebuild_sparse_tensor"),
        (lambda w: w.to_sparse_csr(), "_rebuild_sparse_tensor"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "_rebuild_qtensor"),
        (lambda w: torch.nested.nested_tensor([w, w]), "_rebuild_nested_tensor"),
        (lambda w: w.to("meta"), "_rebuild_meta_tensor"),
        (lambda w: w.to(torch.complex64), f"{WEIGHT} holds ComplexFloatStorage"),
        (lambda w: w > 0, f"{WEIGHT} holds BoolStorage"),
        (lambda w: w.long(), f"{WEIGHT} holds LongStorage"),
        (lambda w: w.to(torch.int8), f"{WEIGHT} holds CharStorage"),
        (lambda w: w.to(torch.float8_e4m3fn), "_rebuild_tensor_v3"),
        (lambda w: torch.full_like(w, torch.nan), f"{WEIGHT} holds a number that is not finite"),
        (lambda w: torch.full_like(w, -torch.inf), f"{WEIGHT} holds a number that is not finite"),
        (lambda w: torch.full_like(w, 1e300, dtype=torch.float64), f"{WEIGHT} holds a number that is not finite"),
        (lambda w: w[:0], f"{WEIGHT} is empty"),
        (lambda w: torch.zeros(16), f"{WEIGHT} is (16,), not (16, 32)"),
        (lambda w: torch.tensor(1.0), f"{WEIGHT} is missing or has too few dimensions"),
        (lambda w: torch.zeros(1).expand(10**12, 32), "not (1000000000000,)"),
        (lambda w: torch.zeros(1, dtype=torch.float16).expand(*(1,) * 60), f"{WEIGHT} is (1, 1"),
        (lambda w: w.tolist(), "not a state dict"),
        (lambda w: {"inner": w}, "not a state dict"),
        (lambda w: 1, "not a state dict"),
        (lambda w: "text", "not a state dict"),
        (lambda w: w.numpy(), "numpy"),
    ],
)
def test_a_tensor_of_another_kind_is_refused(
    tiny_state: State, tmp_path: Path, change: Callable[[torch.Tensor], object], told: str
) -> None:
    assert told in refusal(saved(tiny_state | {WEIGHT: change(tiny_state[WEIGHT])}, tmp_path))


@pytest.mark.parametrize("state", [[1, 2], 3, None, "text", {}, {1: torch.zeros(1)}, {(1, 2): torch.zeros(1)}])
def test_a_file_that_maps_no_names_to_tensors_is_refused(state: object, tmp_path: Path) -> None:
    refusal(saved(state, tmp_path))


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("residual_sim_vq.layers.", "residual_sim_vq.layers.0"),
        ("encoder.tr_encoder.layers.", "layers.0.linear1.weight"),
    ],
)
def test_an_encoder_without_levels_or_layers_is_refused(
    tiny_state: State, tmp_path: Path, prefix: str, told: str
) -> None:
    state = {name: values for name, values in tiny_state.items() if not name.startswith(prefix)}
    assert told in refusal(saved(state, tmp_path))


def test_an_empty_codebook_is_refused(tiny_state: State, tmp_path: Path) -> None:
    changed = {name: values[:0] for name, values in tiny_state.items() if name.endswith("frozen_codebook")}
    assert "frozen_codebook is empty" in refusal(saved(tiny_state | changed, tmp_path))


def test_a_layer_of_a_large_number_is_refused(tiny_state: State, tmp_path: Path) -> None:
    more = {f"encoder.tr_encoder.layers.{n}.linear1.weight": torch.zeros(1) for n in (999_999_999, "9" * 5000, "x\ny")}
    assert "layers.2." in refusal(saved(tiny_state | more, tmp_path))


def test_a_name_of_many_lines_is_shown_in_one(tiny_state: State, tmp_path: Path) -> None:
    refusal(saved(tiny_state | {"a\nb\x1b[2J" * 1000: torch.zeros(1)}, tmp_path))


def repeating(state: State, width: int) -> State:
    """An encoder of any width whose tensors repeat one stored number: the file stays small."""
    wide = {32: width, 96: 3 * width}
    number = torch.zeros(1, dtype=torch.float16)
    return {name: number.expand(*(wide.get(n, n) for n in values.shape)) for name, values in state.items()}


def test_numbers_that_repeat_without_end_are_refused(tiny_state: State, tmp_path: Path) -> None:
    claims = refusal(saved(repeating(tiny_state, 4 * 10**8), tmp_path))
    assert "more than a file of" in claims


def loaded_in_little_memory(path: Path) -> tuple[int, str]:
    """The exit code and the output of a process that loads a file with 6 GB of address space, of which torch has 4."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.settings import WeightsError\n"
        "from musetok_bridge.checkpoint import encoder_tensors\n"
        "try:\n    encoder_tensors(Path(sys.argv[1]))\nexcept WeightsError as error:\n    sys.exit(error.exit_code)"
    )
    limit = 16 * 10**9
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=PROJECT_ROOT,
        check=False,
        timeout=120,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    return done.returncode, done.stderr


def pickled(content: bytes, path: Path, members: dict[str, bytes] | None = None, compress: int = 0) -> Path:
    """A zip as torch.save writes it, with a pickle of its own."""
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, data in {"data.pkl": content, "version": b"3\n", **(members or {})}.items():
            archive.writestr(f"model/{name}", data)
    return path


def test_a_zip_that_expands_to_much_more_is_refused(tmp_path: Path) -> None:
    members = {"data/0": bytes(300_000_000)}
    path = pickled(pickle.dumps({}, 2), tmp_path / "model.pt", members, zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)


def test_a_storage_that_claims_more_than_its_file_is_refused(tiny_state: State, tmp_path: Path) -> None:
    path = saved({name: values.clone() for name, values in tiny_state.items()}, tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    short = {name: data[:4] if name.startswith("data/") else data for name, data in parts.items()}
    refusal(pickled(short.pop("data.pkl"), tmp_path / "short.pt", short))


def call(module: str, name: str, argument: bytes) -> bytes:
    """A pickle that calls a function with one argument, itself given as opcodes."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + argument + b"\x85R."


@pytest.mark.parametrize(
    "content",
    [
        call("builtins", "bytearray", b"\x8a\x06\x00\x00\x00\x00\x00\x10"),  # 17 TB
        call("torch", "Tensor", b"\x8a\x05\x00\x00\x00\x00\x10"),
        call("torch", "FloatStorage", b"\x8a\x05\x00\x00\x00\x00\x10"),
        call("builtins", "eval", b"X\x04\x00\x00\x001//0"),
        call("os", "system", b"X\x04\x00\x00\x00true"),
        call("collections", "OrderedDict", b"\x80\x02]"),
        b"\x80\x05\x96" + struct.pack("<Q", 10**12) + b".",  # an array of bytes of that length
        b"\x80\x04\x95" + struct.pack("<Q", 10**12) + b".",  # a frame
        b"\x80\x02}r\xff\xff\xff\x7f.",  # the memo's entry 2³¹ − 1
        b"\x80\x02}"
        + b")"
        + b"".join(b"q%ch%ch%c\x86" % (i, i, i) for i in range(100))
        + b"Ks.",  # hash of 2¹⁰⁰ tuples
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" * 10 + b"a" * 50 + b".",
        b"",
        b"\xff",
        b"\x80\x02.",
    ],
)
def test_a_pickle_that_torch_save_did_not_write_is_refused(content: bytes, tmp_path: Path) -> None:
    refusal(pickled(content, tmp_path / "model.pt"))


def test_files_that_are_no_zip_of_torch_save_are_refused(tiny_state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for content in (b"", b"PK\x03\x04", os.urandom(1000), pickle.dumps({"a": 1}), bytes(10**6)):
        path.write_bytes(content)
        refusal(path)
    torch.save(tiny_state, path, _use_new_zipfile_serialization=False)
    assert "torch.save writes since version 1.6" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "torch.save did not write it" in refusal(path)


def test_a_file_cut_short_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    whole = tiny_checkpoint.read_bytes()
    path = tmp_path / "model.pt"
    for length in (len(whole) // 2, len(whole) - 1, len(whole) - 30):
        path.write_bytes(whole[:length])
        refusal(path)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    path.write_bytes(damaged)
    assert "CRC" in refusal(path)


def test_a_folder_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path, tmp_path / "pipe.pt"):
        with pytest.raises(WeightsError, match="no file"):
            load_encoder(str(path))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_too_many_tensors_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{suffix}"
    names = [f"encoder.tr_encoder.layers.{i}" for i in range(200_000)]
    if suffix == "pt":
        pickled(pickle.dumps(dict.fromkeys(names, 1), 2) + bytes(10**7), path)
    else:
        header = json.dumps({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header)
    told = refusal(path)
    assert "tensors, more than 10,000" in told or "names more than 10,000 tensors" in told


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        ({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}, b""),
        ({"a": {"dtype": "F32", "shape": [10**12, 0], "data_offsets": [0, 0]}}, b""),
        ({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, b"0000"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"0000"),
        ({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, b"0000"),
        ({"a": 1}, b""),
        ({}, b"0000"),
    ],
)
def test_a_header_with_absurd_claims_is_refused(header: object, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)
    refusal(path)
    path.write_bytes(struct.pack("<Q", 10**15) + text)
    refusal(path)


@pytest.mark.parametrize("heads", ["9" * 5000, "٤", "²", "0", "-4", "4.0", "5", "", "4\n"])
def test_a_number_of_heads_that_can_not_be_is_refused(tiny_state: State, tmp_path: Path, heads: str) -> None:
    path = tmp_path / "encoder.safetensors"
    save_file(tiny_state, path, {"heads": heads})
    assert "attention heads" in refusal(path)


def test_tensors_of_other_kinds_in_safetensors_are_refused(tiny_state: State, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    weight = tiny_state[WEIGHT]
    for dtype in (torch.int8, torch.int64, torch.bool, torch.float8_e5m2):
        save_file(tiny_state | {WEIGHT: weight.to(dtype)}, path)
        assert f"{WEIGHT} holds" in refusal(path)
    save_file(tiny_state | {WEIGHT: torch.full_like(weight, torch.nan)}, path)
    assert "not finite" in refusal(path)
    save_arrays({EMBEDDING: np.zeros((0, 32), np.float32)}, path)
    refusal(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_ordinary_number_formats_load(tiny_state: State, tmp_path: Path, dtype: torch.dtype) -> None:
    _, tensors = encoder_tensors(saved({name: values.to(dtype) for name, values in tiny_state.items()}, tmp_path))
    assert {values.dtype for values in tensors.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(tensors[WEIGHT], tiny_state[WEIGHT].to(dtype).float().numpy())


def test_views_and_attributes_of_a_state_dict_are_read(tiny_state: State, tmp_path: Path) -> None:
    state = OrderedDict(tiny_state)
    state[WEIGHT] = tiny_state[WEIGHT].T.contiguous().T  # column by column
    names = [name for name in state if name.endswith("norm1.weight") and ".layers." in name]
    state |= dict(zip(names, torch.stack([state[name] for name in names]), strict=True))  # rows of one stored matrix
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    _, tensors = encoder_tensors(saved(state, tmp_path))
    for name in (WEIGHT, *names):
        np.testing.assert_array_equal(tensors[name], tiny_state[name].numpy())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its memory")
def test_claims_are_not_allocated(tiny_state: State, tmp_path: Path) -> None:
    assert loaded_in_little_memory(saved(repeating(tiny_state, 10**6), tmp_path)) == (2, "")
