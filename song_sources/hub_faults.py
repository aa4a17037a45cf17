"""Faults of the Hugging Face Hub: which it would answer with again, and what to do about each.

`datasets` raises its own DatasetNotFoundError for a gated, a missing and an unauthorised dataset alike and drops the
cause, so its text has to tell them apart; the Hub's client has a type for each.
"""

from __future__ import annotations

from collections.abc import Iterator

from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import errors as hub

from .dataset_settings import DatasetSettings

LASTING = (hub.RepositoryNotFoundError, hub.OfflineModeIsEnabled, DatasetNotFoundError)
REFUSALS = {401, 403, 404, 410}  # HTTP statuses that would come again


def is_refusal(error: BaseException) -> bool:
    """Whether the Hub would answer the same again."""
    causes = list(_causes(error))
    return any(isinstance(cause, LASTING) for cause in causes) or bool({_status(cause) for cause in causes} & REFUSALS)


def line_about(error: BaseException, settings: DatasetSettings) -> str | None:
    """What an error of the Hub means and what to do, in one line; None if it is not of a known kind."""
    return next((line for cause in _causes(error) if (line := _about(cause, settings))), None)


def _about(error: BaseException, settings: DatasetSettings) -> str | None:
    page = f"https://huggingface.co/datasets/{settings.name}"
    text = str(error)
    status = _status(error)
    not_found = isinstance(error, DatasetNotFoundError)
    if isinstance(error, hub.GatedRepoError) or (not_found and "gated" in text):
        if status == 403 or (status is None and "ask for access" in text):
            return (
                f"{settings.name}: this account has no access yet: accept the conditions at {page}, logged in with it"
            )
        return f"{settings.name}: you are not logged in: accept the conditions at {page}, then run `hf auth login`"
    if isinstance(error, hub.RevisionNotFoundError) or (not_found and text.startswith("Revision")):
        return f"dataset.revision: {settings.name} has no revision {settings.revision!r}; null takes the newest"
    if status == 401 and not isinstance(error, hub.RepositoryNotFoundError):
        return f"{settings.name}: the Hub refuses the token: run `hf auth login` again, or correct HF_TOKEN"
    if isinstance(error, hub.RepositoryNotFoundError) or not_found:
        return (
            f"dataset.name: no {settings.name} on the Hub, or none that you may see: correct it or run `hf auth login`"
        )
    if status is not None:
        return f"{settings.name}: the Hub answers with error {status}"
    if isinstance(error, (ConnectionError, TimeoutError, hub.LocalEntryNotFoundError, hub.HTTPError)):
        return (
            "the Hugging Face Hub can't be reached or doesn't answer: check the connection, or set dataset.path "
            "to a local copy or to MIDI files"
        )
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status of an error that the Hub answered with; None for other errors."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
