"""What a head learned from goes from its file into run.json, and on to the data card and export.json of an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from small_dataset import settings_for, song
from small_release import export_settings

from pipeline.files import write_json, write_tensors
from pretrain_model.head import BUNDLED_FILES
from process_gigamidi.annotation import annotate
from process_gigamidi.trained_on import checked_sets, trained_on
from publish_annotations.export import export

MERP: dict[str, Any] = {
    "name": "merp",
    "adapter": "merp",
    "kind": "curve",
    "licence": "CC *BY* 4.0 <script>",
    "citation": "E. Koh, " + "K. Cheuk, " * 40,
    "pieces": 54,
}


def own_head(folder: Path, **facts: str) -> Path:
    """A head that doesn't come with the project: the bundled one, slightly changed, with further metadata."""
    with safe_open(BUNDLED_FILES["bundled"], framework="numpy") as file:
        known = {key: value for key, value in file.metadata().items() if key != "sets"}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = min(tensors)
    tensors[name] = np.nextafter(tensors[name], np.float32(2))
    write_tensors(folder / "head.safetensors", tensors, known | facts)
    return folder / "head.safetensors"


def annotated_by(head: Path, folder: Path) -> Path:
    """The annotations of one song by a head."""
    (folder / "music").mkdir()
    (folder / "music" / "song.mid").write_bytes(song(3))
    annotate(settings_for(folder / "music", folder / "out", f"model.head={head}"))
    return folder / "out"


def licence_in(data: Path) -> str:
    card = (data / "README.md").read_text(encoding="utf-8")
    return card.split("## Licence")[1].split("## Known failings")[0]


def test_the_sets_go_into_run_json_and_the_card(tmp_path: Path) -> None:
    other = MERP | {"name": "mine", "licence": "", "citation": "", "pieces": 3}
    out = annotated_by(own_head(tmp_path, sets=json.dumps([MERP, other])), tmp_path)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert [found["name"] for found in record["trained_on"]] == ["merp", "mine"]
    assert record["trained_on"][0]["pieces"] == 54 and "sets" not in record["decides"]
    assert "trained_on" not in record["decides"]
    export(export_settings([out], tmp_path / "data"))
    exported = json.loads((tmp_path / "data" / "export.json").read_text(encoding="utf-8"))
    assert exported["splits"]["train"]["trained_on"] == record["trained_on"]
    licence = licence_in(tmp_path / "data")
    assert "- merp: licence CC \\*BY\\* 4.0 \\<script\\>; cite E. Koh, K. Cheuk, " in licence
    cited = licence.split("cite ")[1].splitlines()[0]
    assert len(cited) == 300 and cited.endswith("…")
    assert "\n  - mine: licence not stated\n" in licence
    assert "not known" not in licence and "EMOPIA" not in licence


def test_of_another_head_without_facts_the_card_says_so(tmp_path: Path) -> None:
    out = annotated_by(own_head(tmp_path), tmp_path)
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["trained_on"] == []
    export(export_settings([out], tmp_path / "data"))
    assert "What the head learned from is not known" in licence_in(tmp_path / "data")
    assert "trained_on" not in (tmp_path / "data" / "export.json").read_text(encoding="utf-8")


def test_of_a_bundled_head_the_card_says_what_it_knows(tmp_path: Path) -> None:
    out = annotated_by(BUNDLED_FILES["bundled"], tmp_path)
    export(export_settings([out], tmp_path / "data"))
    assert "EMOPIA" in licence_in(tmp_path / "data") and "not known" not in licence_in(tmp_path / "data")


def test_a_folder_goes_on_with_a_record_of_other_facts(tmp_path: Path) -> None:
    head = own_head(tmp_path, sets=json.dumps([MERP]))
    out = annotated_by(head, tmp_path)
    path = out / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["trained_on"]  # as earlier versions wrote it
    write_json(path, record)
    annotate(settings_for(tmp_path / "music", out, f"model.head={head}"))
    export(export_settings([out], tmp_path / "data"))
    assert "not known" in licence_in(tmp_path / "data")


def test_a_strangers_record_cannot_write_into_the_card(tmp_path: Path) -> None:
    out = annotated_by(own_head(tmp_path, sets=json.dumps([MERP])), tmp_path)
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    record["trained_on"][0] |= {"name": "x\n## Free for all", "licence": "[a](http://b)"}
    write_json(out / "run.json", record)
    export(export_settings([out], tmp_path / "data"))
    licence = licence_in(tmp_path / "data")
    assert "  - x \\#\\# Free for all: licence \\[a\\]\\(http\\://b\\)" in licence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "{}",
        "[1]",
        "[" * 100_000,
        json.dumps([{"name": "x"}]),
        json.dumps([MERP | {"pieces": "54"}]),
        json.dumps([MERP | {"pieces": True}]),
        json.dumps([MERP | {"pieces": -1}]),
        json.dumps([MERP | {"licence": ["a"]}]),
        json.dumps([MERP | {"name": ""}]),
        json.dumps([MERP | {"name": "\ud800"}]),
        json.dumps([MERP] * 51),
        json.dumps([MERP, None]),
        json.dumps([MERP | {"citation": "x" * 200_000}]),
    ],
    ids=range(15),
)
def test_malformed_sets_are_not_known(text: str) -> None:
    assert trained_on({"sets": text}) == []
    assert len(trained_on({"sets": json.dumps([MERP])})) == 1


def test_texts_are_cut_to_one_line() -> None:
    (found,) = checked_sets([MERP | {"name": "a\nb" * 100, "licence": "x" * 1_000, "more": "is left out"}])
    assert len(str(found["name"])) == 40 and "\n" not in str(found["name"])
    assert len(str(found["licence"])) == 300 and set(found) == {*MERP}
    assert trained_on({}) == []
