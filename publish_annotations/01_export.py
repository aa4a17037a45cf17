"""Turn finished annotations into a data set to publish: Parquet files with a data card, in the layout of the Hub.

Writes bars/*.parquet (a row a bar), songs/*.parquet (a row a song, with its bars as lists), README.md and export.json,
in place of an earlier export. With export.repo they are pushed to the Hugging Face Hub, without it nothing is.
"""

from pipeline.settings import counted, run_script
from process_gigamidi.run_log import counts_line
from publish_annotations.export import Exported, export
from publish_annotations.export_settings import SETTINGS_FILE, ExportSettings


def main(settings: ExportSettings) -> None:
    """Export, and say what was written and how to read it."""
    exported = export(settings)
    print(f"{counts_line(exported.totals)}: {', '.join(exported.splits)}, in {exported.folder}")
    for kind, meaning in (("bars", "a row a bar"), ("songs", "a row a song, with its bars as lists")):
        sizes = [size for name, size in exported.files.items() if name.startswith(f"{kind}/")]
        print(f"  {kind}/*.parquet  {meaning}; {counted(len(sizes), 'file')}, {sum(sizes) / 1e6:,.1f} MB")
    print("  README.md        the data card\n  export.json      settings, versions, digests")
    _say_how_to_go_on(exported, settings)


def _say_how_to_go_on(exported: Exported, settings: ExportSettings) -> None:
    name = settings.export.repo or str(exported.folder)
    print(f'to load it: datasets.load_dataset("{name}", "songs", split="{exported.splits[0]}", streaming=True)')
    if exported.page:
        print(f"pushed to {exported.page}")
    else:
        print("to push it: the same command with --set export.repo=NAME/DATASET")


if __name__ == "__main__":
    run_script(ExportSettings, SETTINGS_FILE, __doc__, main)
