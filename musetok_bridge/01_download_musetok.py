"""Download MuseTok's released tokenizer from Google Drive, check it, and keep its encoder as safetensors."""

from musetok_bridge.checkpoint import OFFICIAL_CHECKPOINT
from musetok_bridge.official_release import download_release
from musetok_bridge.tokenizer_settings import SETTINGS_FILE, TokenizerSettings
from pipeline.settings import next_command, run_script


def main(settings: TokenizerSettings) -> None:
    """Download the release and print the path of the encoder."""
    path = download_release(settings.download)
    name = "official" if path == OFFICIAL_CHECKPOINT else str(path)
    print(f"MuseTok's encoder is {path}: use it as model.encoder={name}")
    print(f"next: {next_command('pretrain_model/01_prepare_datasets.py', {'model.encoder': name})}")


if __name__ == "__main__":
    run_script(TokenizerSettings, SETTINGS_FILE, __doc__ or "", main)
