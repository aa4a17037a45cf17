"""MODEL_CARD.md, and the agreement quoted elsewhere, follow from the record in the folder of the weights."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from musetok_bridge import load_encoder
from pipeline.settings import UserError
from pretrain_model.bundled_heads import AGREEMENT_FILE, agreement_of, bundled_heads
from pretrain_model.model_card import CARD, as_json, model_card, with_measured

TEXT = AGREEMENT_FILE.read_text(encoding="utf-8")
RECORD = json.loads(TEXT)


def test_the_card_is_up_to_date() -> None:
    assert CARD.read_text(encoding="utf-8") == model_card(RECORD)


def test_the_record_has_the_digests_of_the_bundled_weights() -> None:
    assert load_encoder("bundled").digest == RECORD["encoder"]["digest"]
    assert len({head.digest for head in bundled_heads()}) == 3


def test_the_record_is_written_back_unchanged() -> None:
    assert as_json(RECORD) == TEXT


def test_new_measurements_replace_the_old_agreement() -> None:
    row = {"dataset": "vgmidi", "level": "bar", "predictor": "trees", "dimension": "valence", "metric": "r"}
    others = [other for other in RECORD["agreement"] if not row.items() <= other.items()]
    assert len(others) == len(RECORD["agreement"]) - 1
    new = [{**row, "value": 0.12345, "low": 0.1, "high": 0.2, "n": 9}, {**row, "metric": "p", "value": float("nan")}]
    measured = with_measured(RECORD, pd.DataFrame([*others, *new]))
    assert measured["agreement"] == [*others, {**row, "value": 0.123, "low": 0.1, "high": 0.2}]
    assert measured["heads"] == RECORD["heads"]
    assert "| per bar | trees | valence | 0.123 (0.100–0.200) |" in model_card(measured)


def test_a_table_that_lacks_figures_of_the_card_is_refused() -> None:
    table = pd.DataFrame(RECORD["agreement"])
    with pytest.raises(UserError, match="the table lacks 5 figures that the card has, such as "):
        with_measured(RECORD, table.iloc[5:])
    with pytest.raises(UserError, match="column metric is missing"):
        with_measured(RECORD, table.drop(columns="metric"))


def test_agreement_is_looked_up_by_name() -> None:
    head = bundled_heads()[0]
    assert head.agreement("vgmidi", "bar", "valence", "r") == agreement_of(
        "listener_whole", "vgmidi", "bar", "valence", "r"
    )
    with pytest.raises(KeyError):
        agreement_of("nobody", "vgmidi", "bar", "valence", "r")
