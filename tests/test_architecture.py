"""Which folder may import which; and no circular imports, neither of folders nor of files."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter

import pytest

from pipeline.settings import PROJECT_ROOT


def drawn_arrows() -> dict[str, set[str]]:
    """The folders that each folder imports, read from the drawing in docs/architecture.md."""
    text = (PROJECT_ROOT / "docs" / "architecture.md").read_text("utf-8")
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", text, re.MULTILINE)
    folders = sorted({folder for arrow in arrows for folder in arrow})
    return {folder: {imported for importer, imported in arrows if importer == folder} for folder in folders}


def reachable(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The folders that each folder reaches over one or more arrows. Raises CycleError if the arrows form a circle."""
    found: dict[str, set[str]] = {}
    for folder in TopologicalSorter(arrows).static_order():
        found[folder] = arrows[folder].union(*(found[below] for below in arrows[folder]))
    return found


MAY_IMPORT = reachable(drawn_arrows())
LIBRARIES_OF_SOUND_AND_MODELS = {"symusic", "torch", "sklearn", "scipy"}


def modules() -> dict[str, str]:
    """The source of each module of the packages, scripts included, by its dotted name."""
    paths = (path for package in MAY_IMPORT for path in sorted((PROJECT_ROOT / package).rglob("*.py")))
    return {
        ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text(
            "utf-8"
        )
        for path in paths
    }


SOURCES = modules()


def imports(module: str) -> set[str]:
    """What a module imports anywhere in its text, within functions and for type checkers too, by dotted names."""
    is_package = any(other.startswith(f"{module}.") for other in SOURCES)
    found: set[str] = set()
    for node in ast.walk(ast.parse(SOURCES[module])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {name if (name := f"{base}.{alias.name}") in SOURCES else base for alias in node.names}
    return found


IMPORTS = {module: imports(module) for module in SOURCES}


def own(module: str) -> set[str]:
    """The project's own modules that a module imports, without the __init__ of its own package."""
    return {name for name in IMPORTS[module] if name in SOURCES and name not in (module, module.split(".")[0])}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_folder_imports_only_those_below_it(package: str) -> None:
    wrong = {
        f"{module} imports {name}"
        for module in SOURCES
        if module.split(".")[0] == package
        for name in own(module)
        if name.split(".")[0] not in MAY_IMPORT[package] | {package}
    }
    assert not wrong


def test_every_folder_of_code_is_in_the_drawing() -> None:
    apart = {"tests", "benchmarks", "samples", "examples", "docs"}
    folders = {path.parent.name for path in PROJECT_ROOT.glob("[a-z]*/*.py")}
    assert folders - apart == set(MAY_IMPORT)


def test_the_drawing_has_no_circle_and_the_pipeline_below_all() -> None:
    with pytest.raises(CycleError):
        reachable({"a": {"b"}, "b": {"a"}})
    assert [folder for folder, imported in MAY_IMPORT.items() if not imported] == ["pipeline"]
    assert MAY_IMPORT["analyze_emotion_annotations"] == {"pipeline"}


def test_no_files_import_each_other_in_a_circle() -> None:
    try:
        list(TopologicalSorter({module: own(module) for module in SOURCES}).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_pipeline_knows_no_music_and_no_model() -> None:
    found = {name.split(".")[0] for module in SOURCES if module.split(".")[0] == "pipeline" for name in IMPORTS[module]}
    assert not found & LIBRARIES_OF_SOUND_AND_MODELS


def test_the_imports_are_read_as_they_are_written() -> None:
    assert "musetok_bridge.bars" in own("musetok_bridge.encoder")  # relative
    assert "pipeline.settings" in own("process_gigamidi.annotation")  # absolute
    assert "process_gigamidi.ray_engine" in own("process_gigamidi.annotation")  # within a function
    assert "torch" in IMPORTS["pretrain_model.training"]
