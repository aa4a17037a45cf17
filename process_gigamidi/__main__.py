"""The numbered scripts of this folder by their names: see pipeline/commands.py."""

from pathlib import Path

from pipeline.commands import run_named_script

if __name__ == "__main__":
    run_named_script(Path(__file__).resolve().parent)
