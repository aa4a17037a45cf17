"""What `pip install .` installs works far from a checkout: it has its weights, settings and templates."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
import symusic
from script_runs import run_script, settings_words
from small_dataset import tables

from pipeline.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow  # builds and installs the package
CODE = ("pipeline", "song_sources", *sorted(path.parent.name for path in PROJECT_ROOT.glob("*/__main__.py")))
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "MODEL_CARD.md", "requirements.txt", "requirements-ray.txt")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made of; pip writes into the folder that it builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in (*CODE, "config"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(PROJECT_ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of that copy."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the wheel. Other packages are those of the tests' environment.

    A .pth file names the folders of those; the .pth files in there, one of which leads to the checkout, are not read.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("-packages")]
    (packages / "others.pth").write_text("\n".join(others), encoding="utf-8")
    return python


def pip(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run(python: Path, folder: Path, *words: object, code: int = 0) -> str:
    """The output of Python with these words in a folder; it must end with the exit code and complain of nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    command = [str(python), *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode("utf-8"))


def test_every_file_of_the_packages_is_in_the_wheel(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    found = (path for folder in (*CODE, "config") for path in (source / folder).rglob("*") if path.is_file())
    files = {path.relative_to(source).as_posix() for path in found}
    expected = {re.sub("^config/", "pipeline/default_settings/", file) for file in files}
    assert packed == expected
    assert {"pipeline/default_settings/gigamidi.yaml", "pretrain_model/weights/agreement.json"} <= packed


def test_it_asks_for_the_packages_of_requirements_txt_and_ray_on_request(wheel: Path) -> None:
    asked = {
        extra: [line.partition("#")[0].strip() for line in (PROJECT_ROOT / file).read_text("utf-8").splitlines()]
        for extra, file in (("", "requirements.txt"), ('; extra == "ray"', "requirements-ray.txt"))
    }
    expected = {f"{line}{extra}" for extra, lines in asked.items() for line in lines if line}
    facts = metadata(wheel)
    assert {line.replace(" ;", ";") for line in facts.get_all("Requires-Dist", [])} == expected
    assert facts.get_all("Provides-Extra") == ["ray"]


def test_an_installed_package_leaves_the_checkout_and_its_own_folder_alone(python: Path, tmp_path: Path) -> None:
    program = "import pipeline, musetok_bridge.checkpoint as c; print(pipeline.__file__, c.OFFICIAL_CHECKPOINT)"
    code, weights = map(Path, run(python, tmp_path, "-c", program).split())
    assert code.is_relative_to(python.parent.parent)
    assert weights == tmp_path / "cache" / "valence-arousal" / "musetok" / "encoder.safetensors"


def test_an_installed_package_annotates_a_song_as_a_checkout_does(python: Path, tmp_path: Path) -> None:
    score = symusic.Score.from_abc((PROJECT_ROOT / "samples" / "amazing_grace.abc").read_text("utf-8"))
    score.dump_midi(tmp_path / "song.mid")
    run(python, tmp_path, "-m", "annotate_own_music", "song.mid", "--csv", "installed")
    assert (tmp_path / "output" / "own" / "curves" / "song.png").is_file()
    run_script("annotate_own_music/01_annotate_file.py", "song.mid", "--csv", "checkout", "--no-plots", folder=tmp_path)
    assert len(tables(tmp_path / "installed")) == 3
    assert tables(tmp_path / "installed") == tables(tmp_path / "checkout")


def test_an_installed_package_annotates_checks_analyses_and_exports(
    python: Path, sample_dataset: Path, tmp_path: Path
) -> None:
    def command(*words: str, code: int = 0) -> str:
        return run(python, tmp_path, "-m", *words, code=code)

    encoded = settings_words(f"dataset.path={sample_dataset}", "output.dir=all", "model.head=bundled_mlp")
    command("process_gigamidi", "annotate", *encoded)
    (tmp_path / "all" / "songs" / "part-00000.csv").unlink()
    remove, repair = command("process_gigamidi", "verify", "--set", "output.dir=all", code=1).splitlines()[-2:]
    assert repair.startswith("  python -m process_gigamidi annotate ")
    Path(tmp_path, shlex.split(remove)[1]).unlink()
    run(python, tmp_path, *shlex.split(repair)[1:])
    assert "all is well in all" in command("process_gigamidi", "verify", "--set", "output.dir=all")
    analysis = settings_words("input.dir=all", "output.dir=analysis", "styles.min_songs=2")
    for name in ("statistics", "report"):
        command("analyze_emotion_annotations", name, *analysis)
    assert (tmp_path / "analysis" / "statistics_by_style.csv").is_file()
    assert (tmp_path / "analysis" / "report.html").is_file()
    command("publish_annotations", *settings_words("export.folders=[all]", "export.dir=export"))
    assert "valence-arousal 0" in (tmp_path / "export" / "README.md").read_text("utf-8")
