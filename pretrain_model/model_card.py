"""MODEL_CARD.md, from its template and from weights/agreement.json.

python -m pretrain_model.model_card                            writes MODEL_CARD.md again
python -m pretrain_model.model_card cross_validation.csv       first copies the results of 05_cross_validate.py
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline.files import atomic_write
from pipeline.settings import IS_CHECKOUT, PROJECT_ROOT, UserError, first_line
from pipeline.templates import template_environment

from .bundled_heads import AGREEMENT_FILE, FIGURE
from .cross_validation import as_markdown

CARD = PROJECT_ROOT / "MODEL_CARD.md"
TEMPLATE = "MODEL_CARD.md.jinja"
_DECIMALS = 3
_COLUMNS = (*FIGURE, "value", "low", "high")


def model_card(record: dict[str, Any]) -> str:
    """The card as Markdown. record: the content of agreement.json."""
    template = template_environment(Path(__file__).parent).get_template(TEMPLATE)
    return template.render(
        encoder=record["encoder"],
        digests={head["name"]: head["digest"] for head in record["heads"]},
        agreement=Markup(as_markdown(pd.DataFrame(record["agreement"])).strip()),
    )


def with_measured(record: dict[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    """The record with its agreement replaced by what 05_cross_validate.py measured.

    Raises UserError if the table is not one of that script or lacks a figure that the record has.
    """
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise UserError(f"column {', '.join(missing)} is missing: not a table of pretrain_model/05_cross_validate.py")
    known = table[table["value"].notna()].round({"value": _DECIMALS, "low": _DECIMALS, "high": _DECIMALS})
    agreement = known[list(_COLUMNS)].to_dict("records")
    lost = {_figure(row) for row in record["agreement"]} - {_figure(row) for row in agreement}
    if lost:
        raise UserError(
            f"the table lacks {len(lost)} figures that the card has, such as {' '.join(min(lost))}: "
            "run 05_cross_validate.py with all predictors"
        )
    return record | {"agreement": agreement}


def _figure(row: Mapping[Any, Any]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in FIGURE)


def as_json(record: dict[str, Any]) -> str:
    """The record as JSON with one line for each agreement, so that a diff can be read."""
    rows = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in record["agreement"])
    others = json.dumps({key: value for key, value in record.items() if key != "agreement"}, indent=2)
    return f'{others[:-2]},\n  "agreement": [\n    {rows}\n  ]\n}}\n'


def main() -> None:
    """Update the record if a table is given, then write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, help="cross_validation.csv, as 05_cross_validate.py writes it")
    arguments = parser.parse_args()
    if not IS_CHECKOUT:
        sys.exit("error: the card is made in a checkout; an installed package has it beside its metadata")
    record = json.loads(AGREEMENT_FILE.read_text(encoding="utf-8"))
    if arguments.table:
        try:
            record = with_measured(record, pd.read_csv(arguments.table))
        except (UserError, OSError, ValueError) as error:  # pandas' errors are ValueErrors
            sys.exit(f"error: {arguments.table}: {first_line(error)}")
        with atomic_write(AGREEMENT_FILE) as temporary:
            temporary.write_text(as_json(record), encoding="utf-8")
    with atomic_write(CARD) as temporary:
        temporary.write_text(model_card(record), encoding="utf-8")
    print(f"model card: {CARD}")


if __name__ == "__main__":
    main()
