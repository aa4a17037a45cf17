"""Every package of the environment is pinned in constraints.txt, which make installs by, and nothing floats."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.settings import PROJECT_ROOT

ASKED_FOR = ("requirements.txt", "requirements-dev.txt", "requirements-ray.txt")
DEPLOYED = ("requirements.txt", "requirements-ray.txt")
PINNED = ("constraints.txt", "requirements-hashed.txt")
EXACT = re.compile(r"==[^*,]+")
NOT_HASHED = re.compile(r"torch$|triton$|cuda-|nvidia-")  # their build differs by machine


def requirements(*files: str) -> list[Requirement]:
    """The requirements that hold for this Python and system; comments, options and hashes are left out."""
    lines = [line for file in files for line in (PROJECT_ROOT / file).read_text("utf-8").splitlines()]
    found = [Requirement(re.sub(r"\s*(#.*|\\)$", "", line)) for line in lines if line[:1].isalnum()]
    return [requirement for requirement in found if requirement.marker is None or requirement.marker.evaluate()]


def pins(file: str) -> dict[str, Requirement]:
    """The requirements of a file by their name; each is exact and there once."""
    found = requirements(file)
    named = {canonicalize_name(pin.name): pin for pin in found}
    assert len(named) == len(found)
    assert [str(pin) for pin in found if not EXACT.fullmatch(str(pin.specifier))] == []
    return named


def installed_for(*files: str) -> dict[str, str]:
    """The version of every installed package that the files ask for, directly or through another."""
    found: dict[str, str] = {}
    asked, seen = requirements(*files), set()
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for of, extra in seen if of == name}:
            seen.add((name, extra))
            try:
                found[name] = version(name)
            except PackageNotFoundError:  # Ray may be left out
                continue
            below = map(Requirement, requires(name) or [])
            asked += [needed for needed in below if needed.marker is None or needed.marker.evaluate({"extra": extra})]
    return found


@pytest.mark.parametrize("file", ASKED_FOR)
def test_what_we_ask_for_is_pinned_to_the_same_version(file: str) -> None:
    constraints = pins("constraints.txt")
    assert {name: str(pin.specifier) for name, pin in pins(file).items()} == {
        name: str(constraints[name].specifier) for name in pins(file)
    }


@pytest.mark.parametrize(("file", "asked_for"), [(PINNED[0], ASKED_FOR), (PINNED[1], DEPLOYED)])
def test_no_installed_package_that_we_need_floats(file: str, asked_for: tuple[str, ...]) -> None:
    pinned, installed = pins(file), installed_for(*asked_for)
    assert {"torch", "jinja2", "markupsafe", "sympy", "mpmath"} <= installed.keys()  # sympy through torch alone
    if file == "requirements-hashed.txt":
        installed = {name: of for name, of in installed.items() if not NOT_HASHED.match(name)}
    floating = [
        f"{name} {of}" for name, of in installed.items() if name not in pinned or of not in pinned[name].specifier
    ]
    assert floating == []


def test_the_hashed_packages_are_the_pinned_ones_without_torch() -> None:
    text = (PROJECT_ROOT / "requirements-hashed.txt").read_text("utf-8")
    hashed, pinned = pins("requirements-hashed.txt"), pins("constraints.txt")
    assert {name: str(pin.specifier) for name, pin in hashed.items()} == {
        name: str(pinned[name].specifier) for name in hashed
    }
    assert [name for name in hashed if NOT_HASHED.match(name)] == []
    assert re.findall(r"^\w.*\n(?!    --hash=sha256:[0-9a-f]{64})", text, re.MULTILINE) == []  # each has hashes


def test_what_builds_the_project_is_pinned_to_the_same_version() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))
    (setuptools,) = map(Requirement, project["build-system"]["requires"])
    assert setuptools.specifier == pins("constraints.txt")["setuptools"].specifier


@pytest.mark.parametrize("file", PINNED)
def test_files_for_all_name_no_place_of_one_machine(file: str) -> None:
    text = (PROJECT_ROOT / file).read_text("utf-8")
    assert re.findall(r"^.*(?:://|--index|--extra-index|--find-links| @ |file:).*$", text, re.MULTILINE) == []


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_the_demo_installs_what_it_uses_and_the_tests_the_rest_on_top(tmp_path: Path) -> None:
    def installed_by(goal: str) -> list[str]:
        words = ["make", "--dry-run", f"VENV={tmp_path}/new", goal]
        done = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
        return re.findall(r" pip install .*-c constraints\.txt (.*)", done.stdout)

    for_demo = installed_by("demo")
    assert "torch==" in for_demo[0]
    assert [line for line in for_demo if line.startswith("-r")] == ["-r requirements.txt"]
    for goal in ("test", "check"):
        assert installed_by(goal) == [*for_demo, "-r requirements.txt -r requirements-dev.txt"]
