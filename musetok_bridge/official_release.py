"""MuseTok's released tokenizer: from Google Drive to an `encoder.safetensors` that `load_encoder("official")` reads.

The release is a zip in which `ckpt/best_tokenizer/model.pt` is a state dict of the whole tokenizer. Only that member is
extracted, under a name chosen here, so paths in the zip have no effect. It is read as data, and every name and shape is
checked before anything is written.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import gdown
import requests
from gdown.exceptions import DownloadError

from pipeline.files import DAMAGED_ZIP, file_digest, tensors_digest, write_json
from pipeline.settings import UserError, WeightsError

from .checkpoint import (
    RELEASED,
    EncoderConfig,
    check_shapes,
    encoder_shapes,
    encoder_tensors,
    layer_shapes,
    save_encoder,
    shapes_of,
)
from .tokenizer_settings import DownloadSettings
from .vocabulary import N_TOKENS
from .weight_files import read_values, stored_tensors

ZIP_NAME = "musetok_release.zip"
MEMBER = "best_tokenizer/model.pt"
POSITIONS = 20_480  # rows of the release's table of positions
MAX_MEMBER_BYTES = 2**30  # the released one has 376 MB; a member that claims far more is not MuseTok's
_DRIVE = "https://drive.google.com/file/d/{}/view"


def release_shapes(config: EncoderConfig = RELEASED) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of the released tokenizer; 94,055,208 values at full size."""
    shapes = encoder_shapes(config) | {"pe.pe": (POSITIONS, 1, config.width)}
    layer = layer_shapes(config)
    shapes |= {f"encoder.tr_encoder_layer.{name}": shape for name, shape in layer.items()}
    shapes["decoder.seg_emb_proj.weight"] = (config.width, config.latent)
    for i in range(config.layers):
        shapes |= {f"decoder.decoder_layers.{i}.{name}": shape for name, shape in layer.items()}
    return shapes | {"dec_out_proj.weight": (N_TOKENS, config.width), "dec_out_proj.bias": (N_TOKENS,)}


def fetch_release(settings: DownloadSettings) -> Path:
    """The release's zip: the given one, the one in the folder, or a new download, which resumes a broken one.

    Raises UserError, with the file id and where to put the zip by hand, if the download fails.
    """
    if settings.zip is not None:
        if not Path(settings.zip).is_file():
            raise UserError(f"download.zip: no file {settings.zip}")
        return Path(settings.zip)
    target = settings.folder / ZIP_NAME
    if zipfile.is_zipfile(target):
        print(f"using {target}, which was downloaded before")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        gdown.download(id=settings.file_id, output=str(target), resume=True)
    except (DownloadError, requests.exceptions.RequestException, OSError) as error:
        raise UserError(
            f"can't download Google Drive file {settings.file_id} ({type(error).__name__}): try again later, which "
            f"resumes the download, or fetch {_DRIVE.format(settings.file_id)} by hand and put the zip at {target}"
        ) from None
    return target


def convert_release(archive: Path, out_dir: Path, config: EncoderConfig = RELEASED) -> Path:
    """Extract the tokenizer from the zip, check all of it, and write everything except the decoder as safetensors.

    Returns the path of `encoder.safetensors`. Raises WeightsError, and leaves no file, if something does not fit.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = out_dir / "model.partial.pt"
    try:
        _extract_member(archive, checkpoint)
        with stored_tensors(checkpoint) as (stored, _):
            check_shapes(checkpoint, shapes_of(stored), release_shapes(config))
            kept = {name: tensor for name, tensor in stored.items() if not name.startswith(("decoder.", "dec_out"))}
            tensors = read_values(checkpoint, kept)
    except WeightsError as error:
        raise WeightsError(f"{archive}: not MuseTok's release: {error}") from None
    finally:
        checkpoint.unlink(missing_ok=True)
    path = out_dir / "encoder.safetensors"
    save_encoder(path, config, tensors, {"source": "MuseTok release", "zip_sha256": file_digest(archive)})
    return path


def _extract_member(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as zipped:
            found = [info for info in zipped.infolist() if info.filename.endswith(MEMBER)]
            if len(found) != 1:
                raise WeightsError(
                    f"{archive}: holds {len(found)} files named …/{MEMBER}, not one: not MuseTok's release"
                )
            if found[0].file_size > MAX_MEMBER_BYTES:
                raise WeightsError(f"{archive}: {MEMBER} claims {found[0].file_size:,} bytes: not MuseTok's release")
            with zipped.open(found[0]) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    except (OSError, *DAMAGED_ZIP) as error:
        if getattr(error, "errno", None) is not None:  # the disk's, which run_command reports
            raise
        raise WeightsError(f"{archive}: not a complete zip file ({error}); remove it and download it again") from None


def download_release(settings: DownloadSettings, config: EncoderConfig = RELEASED) -> Path:
    """Fetch and convert the release; writes `encoder.safetensors`, whose path is returned, and `download.json`."""
    archive = fetch_release(settings)
    path = convert_release(archive, settings.folder, config)
    digests = {"zip_sha256": file_digest(archive), "encoder_digest": tensors_digest(encoder_tensors(path)[1])}
    write_json(path.with_name("download.json"), {"file_id": settings.file_id, **digests})
    if not settings.keep_zip and settings.zip is None:
        archive.unlink()
    return path
