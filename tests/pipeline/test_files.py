import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.files import atomic_write, file_digest, tensors_digest, versions, write_json, write_tensors


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "result.csv"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    with atomic_write(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"


def test_a_digest_depends_on_the_content_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    tensors = {"b": np.ones((2, 3), dtype=np.float32), "a": np.zeros(3, dtype=np.float32)}
    assert tensors_digest(tensors) == tensors_digest(dict(reversed(tensors.items())))
    assert tensors_digest(tensors) != tensors_digest(tensors | {"b": np.ones((3, 2), dtype=np.float32)})
    assert tensors_digest(tensors) != tensors_digest(tensors | {"a": np.full(3, 1e-7, dtype=np.float32)})


def test_the_same_tensors_and_metadata_give_the_same_bytes(tmp_path):
    metadata = {str(i): "x" * i for i in range(20)}
    for name in ("a", "b"):
        write_tensors(tmp_path / name, {"t": np.ones(5), "s": np.zeros((2, 2))}, metadata)
        metadata = dict(reversed(metadata.items()))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_json_and_tensors_are_in_standard_formats(tmp_path):
    write_json(tmp_path / "run.json", {"title": "Für Elise", **versions()})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["title"] == "Für Elise"
    write_tensors(tmp_path / "x.safetensors", {"x": np.arange(3)}, {})
    assert np.array_equal(load_file(tmp_path / "x.safetensors")["x"], np.arange(3))
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "run.json").stat().st_mode
