"""An export is pushed completely and only on request, and a refusal by the Hub is reported in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_upload_hub import ACCOUNT, TOKEN, UploadHub
from huggingface_hub import constants
from small_release import content, export_settings

from pipeline.settings import UserError
from publish_annotations.export import export

REPO = f"{ACCOUNT}/emotions"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[UploadHub]:
    with UploadHub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "no tokens"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


def test_nothing_leaves_the_machine_without_a_request(hub: UploadHub, annotations: list[Path], tmp_path: Path) -> None:
    assert export(export_settings(annotations, tmp_path / "data")).page is None
    assert hub.asked == []


def test_after_a_push_the_hub_has_the_files_of_the_folder(
    hub: UploadHub, annotations: list[Path], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    to_repo = f"export.repo={REPO}"
    exported = export(export_settings(annotations, data, to_repo, bars_per_row_group=15, bars_per_file=40))
    assert exported.page == f"{hub.endpoint}/datasets/{REPO}"
    assert hub.datasets[REPO] == content(data) and hub.private[REPO]
    assert f'load_dataset("{REPO}", "songs"' in (data / "README.md").read_text(encoding="utf-8")
    hub.datasets[REPO][".gitattributes"] = b"of the Hub"
    n_before = len(content(data))
    export(export_settings(annotations, data, to_repo))  # makes fewer files
    assert len(content(data)) < n_before
    assert hub.datasets[REPO] == content(data) | {".gitattributes": b"of the Hub"}


def test_a_licence_that_the_hub_does_not_know_is_reported_in_one_line(
    hub: UploadHub, annotations: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match='"license" must be one of') as said:
        export(export_settings(annotations, tmp_path / "data", f"export.repo={REPO}", "card.license=mine"))
    assert "\n" not in str(said.value) and hub.datasets[REPO] == {}


def test_a_public_dataset_is_created_only_on_request(hub: UploadHub, annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data", f"export.repo={REPO}", "export.private=false"))
    assert not hub.private[REPO]


@pytest.mark.parametrize(
    ("token", "line"),
    [
        (None, "you are not logged in: run `hf auth login`, or set HF_TOKEN, with a token that may write"),
        ("hf_of_nobody", "the Hub refuses the token: run `hf auth login` again, or correct HF_TOKEN"),
    ],
)
def test_a_user_who_is_not_logged_in_is_told_before_the_export(
    hub: UploadHub,
    annotations: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    line: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError) as said:
        export(export_settings(annotations, tmp_path / "data", f"export.repo={REPO}"))
    assert str(said.value) == f"export.repo: {REPO}: {line}"
    assert not (tmp_path / "data").exists() and hub.datasets == {}


def test_a_hub_that_cannot_be_reached_is_reported_in_one_line(
    annotations: list[Path], tmp_path: Path, hub: UploadHub
) -> None:
    hub.__exit__()
    with pytest.raises(
        UserError, match="the Hugging Face Hub can't be reached or doesn't answer: check the connection"
    ):
        export(export_settings(annotations, tmp_path / "data", f"export.repo={REPO}"))
    assert not (tmp_path / "data").exists()
    hub.__enter__()


@pytest.mark.parametrize(
    ("repo", "refused", "line"),
    [
        ("others/emotions", {}, "this account or its token may not write there: use a name of your own"),
        (REPO, {"commit/main": 403}, "this account or its token may not write there: use a name of your own"),
        (REPO, {"commit/main": 413}, r"the Hub answers with error 413 \(.*refused"),
        (REPO, {"preupload/main": 404}, "no such dataset on the Hub, or you may not see it"),
    ],
)
def test_a_refusal_by_the_hub_is_one_line_and_the_export_stays(
    hub: UploadHub, annotations: list[Path], tmp_path: Path, repo: str, refused: dict[str, int], line: str
) -> None:
    hub.refused = refused
    with pytest.raises(UserError, match=f"export.repo: {repo}: {line}") as said:
        export(export_settings(annotations, tmp_path / "data", f"export.repo={repo}"))
    assert "\n" not in str(said.value)
    assert {"README.md", "export.json"} < set(content(tmp_path / "data"))
    hub.refused = {}
    export(export_settings(annotations, tmp_path / "data", f"export.repo={REPO}"))
    assert hub.datasets[REPO] == content(tmp_path / "data")
