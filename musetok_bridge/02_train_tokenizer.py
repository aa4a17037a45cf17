"""Train a small tokenizer of MuseTok's architecture on your own MIDI files; an interrupted run is resumed."""

from musetok_bridge.tokenizer_settings import SETTINGS_FILE, TokenizerSettings
from musetok_bridge.tokenizer_training import train_tokenizer
from pipeline.settings import next_command, run_script


def main(settings: TokenizerSettings) -> None:
    """Train and print the path of the encoder."""
    path = train_tokenizer(settings)
    print(
        f"The encoder is {path}: use it as model.encoder={path}. Losses, quality and settings are in the same folder."
    )
    print(f"next: {next_command('pretrain_model/01_prepare_datasets.py', {'model.encoder': str(path)})}")


if __name__ == "__main__":
    run_script(TokenizerSettings, SETTINGS_FILE, __doc__ or "", main)
