"""Runs the notebook in examples/. As a script, for `make notebook`, it stores the outputs in the notebook."""

from __future__ import annotations

import nbclient
import nbformat

from pipeline.settings import PROJECT_ROOT

NOTEBOOK = PROJECT_ROOT / "examples" / "annotate_and_condition.ipynb"


def executed() -> nbformat.NotebookNode:
    """The notebook after a run in its folder, with no times of day in it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=where, record_timing=False
    ).execute()
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
