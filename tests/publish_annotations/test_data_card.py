"""The data card describes the data correctly, and its example code runs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from small_dataset import mixed_songs, settings_for, song
from small_release import STYLES, annotate_split, csv_rows, export_settings, published, say_made_from

from pipeline.annotations import finished_parts, record_path
from pipeline.files import write_json
from pipeline.records import digest_of, read_record
from pipeline.settings import SettingsError
from pretrain_model.bundled_heads import AGREEMENT_FILE, BundledHead, bundled_head, bundled_heads
from pretrain_model.head import BUNDLED_FILES, load_head
from process_gigamidi.annotation import annotate
from publish_annotations.data_card import plain
from publish_annotations.export import export


def card_of(folder: Path) -> tuple[dict, str]:
    """The card's YAML and its Markdown."""
    opening, head, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(head), body


def table_below(body: str, header: str) -> list[list[str]]:
    """The cells of the rows of the table whose header begins with `header`."""
    lines = body[body.index(f"\n| {header}") + 1 :].split("\n\n")[0].splitlines()
    assert set(lines[1]) == {"|", "-"}
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def example_of(body: str) -> str:
    """The example code that reads music and annotations together."""
    return body[body.index("## Together with") :].split("```python\n")[1].split("```")[0]


def test_the_example_streams_music_and_annotations_together(
    release: Path, annotations: list[Path], tmp_path: Path
) -> None:
    export(export_settings(annotations, tmp_path / "data", bars_per_row_group=15, bars_per_file=40))
    code = example_of(card_of(tmp_path / "data")[1])
    assert len(code.strip().splitlines()) <= 10
    assert code.count('"Metacreation/GigaMIDI"') == 1 and code.count("streaming") == 1
    code = code.replace('"Metacreation/GigaMIDI"', repr(str(release)))
    code = code.replace('"NAME/valence-arousal"', repr(str(tmp_path / "data")))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    music = {hashlib.md5(content or b"").hexdigest(): content for content in mixed_songs()}
    songs = published(tmp_path / "data", "songs", "train").to_pylist()
    expected = [
        f"{s['md5']} {len(music[s['md5']] or b'')} "
        + " ".join(map(str, zip(s["start_tick"], s["valence"], s["arousal"], strict=True)))
        for s in songs
    ]
    assert printed.getvalue().splitlines() == expected and len(expected) == 18


def test_the_example_of_midi_files_finds_them_by_their_bytes(
    tmp_path: Path, models: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mid", "b/c.midi"):
        (tmp_path / "mine" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "mine" / name).write_bytes(song(len(name)))
    annotate(settings_for(tmp_path / "mine", tmp_path / "out"))
    export(export_settings([tmp_path / "out"], tmp_path / "data"))
    head, body = card_of(tmp_path / "data")
    assert "songs of a folder of MIDI files" in body and "GigaMIDI is under" not in body
    assert head["pretty_name"] == "Valence and arousal of every bar" and body.startswith(f"\n# {head['pretty_name']}\n")
    code = example_of(body).replace('"NAME/valence-arousal"', repr(str(tmp_path / "data")))
    assert len(code.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code.replace("MIDI_FILES", "mine"), {})
    assert [line.split(" ")[0] for line in printed.getvalue().splitlines()] == ["mine/a.mid", "mine/b/c.midi"]


def test_a_revision_is_named_where_it_is_known(annotations: list[Path], tmp_path: Path) -> None:
    for folder in annotations:
        say_made_from(folder, {"dataset.name": "Metacreation/GigaMIDI", "dataset.revision": "f" * 40})
    export(export_settings(annotations, tmp_path / "data"))
    _, body = card_of(tmp_path / "data")
    assert f'load_dataset("Metacreation/GigaMIDI", "v2.0.0", revision="{"f" * 40}", ' in example_of(body)
    assert f"at revision `{'f' * 40}`" in body and "local copy" not in body


def test_the_statistics_are_those_of_the_tables(annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data", bars_per_row_group=15))
    _, body = card_of(tmp_path / "data")
    bars = [row for folder in annotations for row in csv_rows(folder, "bars")]
    values_of = {name: np.array([float(row[name]) for row in bars]) for name in ("valence", "arousal")}
    for cells in table_below(body, "over all bars"):
        values = values_of[cells[0]]
        expected = [values.mean(), values.std(), *np.quantile(values, [0.25, 0.5, 0.75])]
        assert [float(cell) for cell in cells[1:]] == pytest.approx(expected, abs=5.1e-5)
    v, a = values_of["valence"] >= 0, values_of["arousal"] >= 0
    shares = [f"{quadrant.mean():.1%}" for quadrant in (v & a, ~v & a, ~v & ~a, v & ~a)]
    assert [cells[1] for cells in table_below(body, "quadrant")] == shares
    split_bars = [str(len(csv_rows(folder, "bars"))) for folder in annotations]
    assert table_below(body, "split | songs") == [
        ["train", "18", split_bars[0], "5"],
        ["test", "8", split_bars[1], "0"],
    ]
    failures = [row["reason"].partition(":")[0] for row in csv_rows(annotations[0], "failures")]
    assert {why.strip("`"): int(n) for why, n in table_below(body, "why songs")} == {
        why: failures.count(why) for why in failures
    }


def test_a_song_counts_once_in_each_style_that_it_names(annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    cells = [row["music_styles_curated"] for folder in annotations for row in csv_rows(folder, "songs")]
    named = [{style for style in json.loads(cell or "[]") if style} for cell in cells]
    expected = {plain(style): sum(style in names for names in named) for style in {s for n in named for s in n}}
    expected["*none*"] = sum(not names for names in named)
    found = table_below(card_of(tmp_path / "data")[1], "style (")
    assert {style: int(n) for style, n in found} == expected
    assert expected["folk"] > expected["pop"] > 0 and expected["*none*"] > 2


def test_text_by_others_is_plain_text_in_the_card(annotations: list[Path], tmp_path: Path) -> None:
    hostile = [style for styles in STYLES for style in styles or [] if not style.isalpha() and style]
    assert len(hostile) == 3
    export(export_settings(annotations, tmp_path / "data", 'card.title="Emotion: [x](y) --- #1"'))
    head, body = card_of(tmp_path / "data")
    assert head["pretty_name"] == "Emotion: [x](y) --- #1"
    assert [config["config_name"] for config in head["configs"]] == ["bars", "songs"]
    assert "<script>" not in body and "\n---\n" not in body and "\n# y" not in body
    styles = [row[0] for row in table_below(body, "style (")]
    assert r"a\|b" in styles and r"\<script\>alert\(1\)\</script\>" in styles and r"\`x\` --- \# y" in styles
    assert plain("a\u202eb\n\n| c" + "d" * 99) == r"a b \| c" + "d" * 52 + "…"


def test_the_yaml_has_the_numbers_of_rows_and_bytes(annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data", bars_per_row_group=15, bars_per_file=40))
    head, _ = card_of(tmp_path / "data")
    assert head["license"] == "cc-by-nc-sa-4.0" and head["size_categories"] == ["n<1K"]
    for info in head["dataset_info"]:
        kind = info["config_name"]
        rows = {split["name"]: split["num_examples"] for split in info["splits"]}
        assert rows == {split: len(published(tmp_path / "data", kind, split)) for split in ("train", "test")}
        assert info["download_size"] == sum(path.stat().st_size for path in (tmp_path / "data" / kind).iterdir())


def test_no_path_of_this_machine_is_published(release: Path, annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    for name in ("README.md", "export.json"):
        text = (tmp_path / "data" / name).read_text(encoding="utf-8")
        assert all(str(folder) not in text for folder in (tmp_path, release)) and "annotations-" not in text
    record = json.loads((tmp_path / "data" / "export.json").read_text())
    assert record["splits"]["test"]["decides"] == json.loads((annotations[1] / "run.json").read_text())["decides"]


def test_bundled_heads_are_known_by_their_digests() -> None:
    assert [head.name for head in bundled_heads()] == list(BUNDLED_FILES)
    for head in bundled_heads():
        assert load_head(head.name).digest == head.digest
        assert bundled_head(head.digest) == head
    assert bundled_head("0" * 64) is None


@pytest.mark.parametrize("head", bundled_heads(), ids=lambda head: head.name)
def test_agreement_is_quoted_for_the_weights_it_was_measured_on(
    release: Path, models: SimpleNamespace, tmp_path: Path, head: BundledHead
) -> None:
    models.head.digest = head.digest
    annotate_split(release, tmp_path / "out", "test")
    export(export_settings([tmp_path / "out"], tmp_path / "data"))
    _, body = card_of(tmp_path / "data")
    record = json.loads(AGREEMENT_FILE.read_text(encoding="utf-8"))
    row = {"dataset": "vgmidi", "level": "within", "predictor": head.predictor, "dimension": "valence", "metric": "r"}
    (within,) = (found for found in record["agreement"] if row.items() <= found.items())
    rows = {cells[0]: cells[1] for cells in table_below(body, "| this model | one rater")}
    expected = f"{within['value']:.3f} ({within['low']:.3f}–{within['high']:.3f})"
    assert rows["valence, within a piece"] == expected
    assert len(rows) == 6 and "The weights were trained on EMOPIA" in body
    assert ("Neither tempo nor loudness" in body) == (head.name == "bundled_mlp")


def test_no_agreement_is_quoted_for_other_weights(annotations: list[Path], tmp_path: Path) -> None:
    settings = export_settings(annotations, tmp_path / "data")
    export(replace(settings, card=replace(settings.card, license="cc-by-4.0", code="https://example.org/code")))
    head, body = card_of(tmp_path / "data")
    assert head["license"] == "cc-by-4.0" and "**cc-by-4.0.**" in body and "meets all three" not in body
    assert "agreement with ratings isn't known here" in body and "EMOPIA" not in body
    assert "[valence-arousal](https://example.org/code)" in body


def test_what_a_stranger_wrote_into_run_json_stays_text(
    annotations: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "x` ](https://evil.example) | <b>`"
    path = annotations[0] / "run.json"
    run = json.loads(path.read_text())
    run["decides"] |= {hostile: hostile * 3, "dataset.revision": hostile}
    run["versions"] |= {hostile: hostile, "valence-arousal": hostile}
    for name in ("name", "config"):
        write_json(
            path, run | {"settings": run["settings"] | {"dataset": run["settings"]["dataset"] | {name: hostile}}}
        )
        with pytest.raises(SettingsError, match=f"run.json: 'dataset.{name}' is "):
            export(export_settings(annotations[:1], tmp_path / "data"))
    write_json(path, run)
    for part in finished_parts(annotations[0]):
        record = asdict(read_record(annotations[0], part)) | {"run": digest_of(run["decides"])}
        write_json(record_path(annotations[0], part), record)
    export(export_settings(annotations[:1], tmp_path / "data"))
    card = (tmp_path / "data" / "README.md").read_text()
    prose = re.sub(r"```.*?```", "", card, flags=re.DOTALL)
    assert "evil.example" in prose
    assert not re.search(r"(?<!\\)\]\(https://evil|(?<!\\)<b>|x`", prose)
    columns = [line.count("|") - line.count("\\|") for line in prose.splitlines() if "evil" in line and line[0] == "|"]
    assert columns and set(columns) == {3}
