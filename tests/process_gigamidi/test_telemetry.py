"""A run tells no one of itself, unless the user wants it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from small_dataset import settings_for

from pipeline.settings import PROJECT_ROOT

READ_SWITCHES = """
import song_sources.hub_source
import datasets, huggingface_hub
print(datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY)
"""
SWITCHES = ("HF_UPDATE_DOWNLOAD_COUNTS", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK")


@pytest.mark.parametrize(
    ("chosen", "printed"),
    [
        ({}, "False True"),
        ({"HF_UPDATE_DOWNLOAD_COUNTS": "1", "HF_HUB_DISABLE_TELEMETRY": "0"}, "True False"),
    ],
)
def test_the_hub_s_libraries_report_only_what_the_user_wants(chosen: dict[str, str], printed: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    command = [sys.executable, "-c", READ_SWITCHES]
    ran = subprocess.run(
        command, env=environment | chosen, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == printed


@pytest.mark.parametrize("address", ["null", "auto"])
@pytest.mark.parametrize(("chosen", "in_force"), [(None, "0"), ("1", "1")])
def test_ray_reports_only_what_the_user_wants(
    address: str, chosen: str | None, in_force: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
    from process_gigamidi import ray_engine

    at_start = {}

    def init(**options: Any) -> nullcontext[None]:
        at_start.update(options, usage_stats=os.environ.get("RAY_USAGE_STATS_ENABLED"))
        return nullcontext()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", chosen or "")  # so that it is restored afterwards
    if chosen is None:
        monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    ray_engine._cluster(settings_for(tmp_path, tmp_path / "out", "compute.engine=ray", f"ray.address={address}"))
    assert at_start["usage_stats"] == in_force
    assert at_start["address"] == ("local" if address == "null" else address)
    assert at_start["include_dashboard"] is False


def test_so_does_a_cluster_that_is_started_by_the_documentation() -> None:
    lines = (PROJECT_ROOT / "docs" / "many_machines.md").read_text("utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("ray start")]
    switches = [number for number, line in enumerate(lines) if line.startswith("export RAY_USAGE_STATS_ENABLED=0 ")]
    assert len(starts) == 2
    assert switches and switches[0] < starts[0]
    assert [" --include-dashboard=false " in lines[start] for start in starts] == [True, False]  # on the head
