"""An export onto the Hugging Face Hub, and one line for whatever comes in between."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub import errors as hub

from pipeline.settings import UserError

from .conversion import one_line
from .source_faults import quiet_libraries

COMMIT_MESSAGE = "Valence and arousal of every bar"
AGAIN = "the same command goes on from what is there"


def check_login(repo: str) -> None:
    """Raise UserError if the Hub can't be asked, or doesn't know who is logged in: before an export, not after it."""
    try:
        with quiet_libraries():
            HfApi().whoami()
    except Exception as error:
        raise _as_user_error(error, repo) from error


def push(folder: Path, repo: str, private: bool) -> str:
    """Make the dataset repo on the Hub hold what the folder holds; returns the address of its page.

    private: of a dataset that isn't there yet. What other pushes left in bars/ and songs/ is removed. Raises UserError
    if it can't be done.
    """
    api = HfApi()
    try:
        with quiet_libraries():
            page = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo,
                repo_type="dataset",
                folder_path=folder,
                commit_message=COMMIT_MESSAGE,
                delete_patterns=["bars/*", "songs/*"],
            )
    except Exception as error:  # the transfer's own library raises what it likes
        raise _as_user_error(error, repo) from error
    return str(page)


def _as_user_error(error: Exception, repo: str) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub.LocalTokenNotFoundError):
        line = "you are not logged in: run `hf auth login`, or set HF_TOKEN, with a token that may write"
    elif status == 401:
        line = "the Hub refuses the token: run `hf auth login` again, or mend HF_TOKEN"
    elif status == 403:
        line = "this account or its token may not write there: take a name of your own, and a token that may write"
    elif status == 404:
        line = "no such dataset on the Hub, or none that you may see"
    elif status is not None:
        line = one_line(f"the Hub answers with error {status} ({getattr(error, 'server_message', None) or error})")
    elif isinstance(error, (ConnectionError, TimeoutError, hub.HTTPError)):
        line = f"the Hugging Face Hub can't be reached or doesn't answer: check the connection; {AGAIN}"
    else:
        line = one_line(f"can't be pushed ({type(error).__name__}: {error})") + f"; {AGAIN}"
    return UserError(f"export.repo: {repo}: {line}")
