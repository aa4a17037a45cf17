"""Turn finished annotations into a data set to publish: Parquet files with a data card, in the layout of the Hub.

Writes bars/*.parquet (a row for each bar), songs/*.parquet (a row for each song, with its bars as lists), README.md and
export.json, and replaces an earlier export. Nothing leaves this machine unless the setting export.repo names a dataset
on the Hugging Face Hub to push to.
"""

from pipeline.settings import counted, run_script, with_same_arguments
from process_gigamidi.run_log import counts_line
from publish_annotations.export import Exported, export
from publish_annotations.export_settings import FOLDERS, SETTINGS_FILE, ExportSettings


def main(settings: ExportSettings) -> None:
    """Export, and print what was written and how to read it."""
    exported = export(settings)
    print(f"{counts_line(exported.totals)}: {', '.join(exported.splits)}, in {exported.folder}")
    for kind, meaning in (("bars", "a row for each bar"), ("songs", "a row for each song, with its bars as lists")):
        sizes = [size for name, size in exported.files.items() if name.startswith(f"{kind}/")]
        print(f"  {kind}/*.parquet  {meaning}; {counted(len(sizes), 'file')}, {sum(sizes) / 1e6:,.1f} MB")
    print("  README.md        the data card\n  export.json      settings, versions, digests")
    _print_next_steps(exported, settings)


def _print_next_steps(exported: Exported, settings: ExportSettings) -> None:
    name = settings.export.repo or str(exported.folder)
    print(f'to load it: datasets.load_dataset("{name}", "songs", split="{exported.splits[0]}", streaming=True)')
    if exported.page:
        print(f"pushed to {exported.page}")
    else:
        push = with_same_arguments("publish_annotations/01_export.py", "--set", "export.repo=NAME/DATASET")
        print(f"next, to push it under a name of yours: {push}")


if __name__ == "__main__":
    run_script(ExportSettings, SETTINGS_FILE, __doc__, main, FOLDERS)
