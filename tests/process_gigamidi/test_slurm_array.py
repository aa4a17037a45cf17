"""docs/slurm_array.sh, given the variables that Slurm gives to the jobs of an array."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_dataset import mixed_songs, rows_of, tables, write_parquet

from pipeline.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "docs" / "slurm_array.sh"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("locks", ["yes", "no"])
def test_the_jobs_of_an_array_make_what_one_run_makes(tmp_path: Path, locks: str) -> None:
    rows = [row for _ in range(6) for row in rows_of(mixed_songs())]
    write_parquet(tmp_path / "data" / "train.parquet", rows, row_group_size=23)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def job(task: int, *settings: str) -> subprocess.CompletedProcess[str]:
        slurm_variables = {"ID": str(task), "MIN": "3", "COUNT": "2"}  # sbatch --array=3-4
        environment = {
            **os.environ,
            **{f"SLURM_ARRAY_TASK_{name}": value for name, value in slurm_variables.items()},
            "SLURM_SUBMIT_DIR": str(PROJECT_ROOT),
            "SLURM_CPUS_PER_TASK": "2",
            "SHARED_LOCKS": locks,
            "PATH": path,
        }
        own = ("output.row_groups_per_part=1", f"dataset.path={tmp_path / 'data'}", *settings)
        words = ["bash", str(SCRIPT), *(word for setting in own for word in ("--set", setting))]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=True)

    logs = [job(task, f"output.dir={tmp_path / 'out'}").stdout for task in (3, 4)]
    done = [re.findall(r"part (\d+): ", log) for log in logs]
    whole = [f"{part:05d}" for part in range(6)]
    assert done == ([whole[::2], whole[1::2]] if locks == "no" else [whole, []])
    job(3, f"output.dir={tmp_path / 'alone'}", "compute.share=null")
    assert tables(tmp_path / "out") == tables(tmp_path / "alone")
