"""Each script ends with the next command, which runs as it is printed: from MIDI files to a report and a data set."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from script_runs import Done, run_script, settings_words

from pipeline.settings import PROJECT_ROOT

OUTPUT = "my results"


def run_printed(printed: str, folder: Path) -> Done:
    """Run a command as a script prints it; python is this one."""
    python, *words = shlex.split(printed)
    assert python == "python"
    done = run_script(*words, folder=folder)
    assert done.returncode == 0, (printed, done.stderr)
    return done


def next_of(done: Done) -> str:
    """The next command that a script printed."""
    (found,) = re.findall(r"(?:^|\d  )next(?:, [^:]+)?: (python .+)$", done.stdout, re.MULTILINE)
    return str(found)


@pytest.fixture
def midi_folder(tmp_path: Path, synthetic: Path) -> Path:
    """A folder of a user's own, with a space in its name."""
    folder = tmp_path / "my music"
    folder.mkdir()
    for name in ("random_mix", "triplets_eighth", "two_tracks"):
        shutil.copy(synthetic / f"{name}.mid", folder)
    return folder


def test_from_music_to_a_data_set_by_the_printed_commands(midi_folder: Path) -> None:
    here = midi_folder.parent
    chosen = settings_words("dataset.path=my music", f"output.dir={OUTPUT}", "compute.workers=0")
    done = run_script("process_gigamidi/01_annotate.py", *chosen, folder=here)
    ran = []
    for _ in range(5):
        ran.append(next_of(done))
        done = run_printed(ran[-1], here)
    assert ran == [
        f"python process_gigamidi/02_verify.py '{OUTPUT}'",
        f"python analyze_emotion_annotations/01_statistics.py '{OUTPUT}'",
        f"python analyze_emotion_annotations/02_plot_song_curves.py '{OUTPUT}'",
        f"python analyze_emotion_annotations/03_report.py '{OUTPUT}'",
        f"python publish_annotations/01_export.py '{OUTPUT}'",
    ]
    analysis = here / f"{OUTPUT}-analysis"
    assert (analysis / "statistics_by_style.csv").is_file() and (analysis / "report.html").is_file()
    assert len(list((analysis / "curves").glob("*.png"))) == 3
    assert (here / f"{OUTPUT}-export" / "README.md").is_file()
    assert next_of(done) == f"python publish_annotations/01_export.py --set export.repo=NAME/DATASET '{OUTPUT}'"
    assert not (here / "output").exists()


def test_settings_go_above_the_folder_and_are_kept_in_the_next_command(midi_folder: Path) -> None:
    here = midi_folder.parent
    own = settings_words("dataset.path=my music", "output.dir=a", "compute.workers=0")
    run_script("process_gigamidi/01_annotate.py", *own, folder=here)
    words = ("nowhere", *settings_words("input.dir=a", "output.dir=of a", "plot.formats=[png]", "plot.dpi=50"))
    done = run_script("analyze_emotion_annotations/01_statistics.py", *words, folder=here)
    assert done.returncode == 0, done.stderr
    assert (here / "of a" / "styles.png").is_file() and not (here / "a-analysis").exists()
    assert shlex.split(next_of(done))[2:] == list(words)
    assert run_printed(next_of(done), here).stdout.splitlines()[0].startswith("of a/curves/")


def test_music_of_ones_own_leads_to_tables_and_these_to_a_report(midi_folder: Path) -> None:
    here = midi_folder.parent
    done = run_script("annotate_own_music/01_annotate_file.py", "my music", "--no-plots", folder=here)
    tables = next_of(done)
    assert tables == "python annotate_own_music/01_annotate_file.py --csv output/own/tables 'my music' --no-plots"
    report = next_of(run_printed(tables, here))
    assert report == "python analyze_emotion_annotations/03_report.py output/own/tables"
    assert "next" not in run_printed(report, here).stdout  # an export takes what 01_annotate.py wrote
    assert (here / "output" / "own" / "tables-analysis" / "report.html").is_file()


def test_encoding_leads_to_its_verification(midi_folder: Path) -> None:
    words = ("my music", *settings_words("output.dir=latents of mine", "compute.workers=0"))
    done = run_script("musetok_bridge/03_encode.py", *words, folder=midi_folder.parent)
    assert done.returncode == 0, done.stderr
    assert "all is well" in run_printed(next_of(done), midi_folder.parent).stdout


@pytest.mark.parametrize("script", sorted(PROJECT_ROOT.glob("*/0*_*.py")), ids=lambda path: "/".join(path.parts[-2:]))
def test_every_script_says_what_to_type_next(script: Path) -> None:
    """The two runs whose modules print their end are looked for there."""
    elsewhere = {"01_annotate.py": "run_log.py", "03_match_ratings.py": "rating_matches.py"}
    text = script.with_name(elsewhere.get(script.name, script.name)).read_text(encoding="utf-8")
    assert re.search(r"\bnext\b.*: ?\{", text)
