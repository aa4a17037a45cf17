"""Getting a rated dataset: from a local zip or folder, or downloaded once."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from musetok_bridge.raw_data import RawData
from pipeline.files import written_whole
from pipeline.settings import UserError

_CHUNK_BYTES = 1 << 20


def raw_data(path: str | None, url: str, md5: str | None, downloads: Path, section: str) -> RawData:
    """The dataset at `path`, or, if that is None, the one downloaded from `url` into the folder `downloads`.

    section: the dataset's section in the settings, for messages.
    """
    setting = f"{section}.path"
    return RawData(_download(url, md5, downloads / f"{section}.zip", setting) if path is None else path, setting)


def _download(url: str, md5: str | None, target: Path, setting: str) -> Path:
    """Download once; a file that stands there is complete."""
    if target.exists():
        return target
    digest = hashlib.md5(usedforsecurity=False)
    by_hand = f"download it elsewhere and give it as --set {setting}=FILE"
    try:
        with urllib.request.urlopen(url, timeout=60) as response, written_whole(target) as beside:
            expected = int(response.headers.get("Content-Length") or 0)
            with (
                open(beside, "wb") as file,
                tqdm(total=expected or None, unit="B", unit_scale=True, desc=target.name) as bar,
            ):
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
            if expected and beside.stat().st_size != expected:
                raise UserError(f"{url}: the connection broke off; run again, or {by_hand}")
            if md5 is not None and digest.hexdigest() != md5:
                raise UserError(f"{url}: md5 is {digest.hexdigest()}, not {md5}; run again, or {by_hand}")
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: can't be downloaded ({reason}); {by_hand}") from None
    return target
