"""Check an output folder of 01_annotate.py: every part there and unchanged, every row of the dataset in it once.

Reads the dataset's md5s again, from the place in run.json or from dataset.path if that is set. If anything is missing
or wrong, prints it with the command that repairs it, and ends with exit code 1.
"""

import sys

from pipeline.settings import counted, next_command, run_script
from process_gigamidi.annotation_settings import OUTPUT_FOLDER, SETTINGS_FILE, AnnotationSettings
from process_gigamidi.run_log import counts_line, remarks
from process_gigamidi.verification import verify

SHOWN = 20  # findings that are printed one by one


def main(settings: AnnotationSettings) -> None:
    """Verify, and print what was found."""
    found = verify(settings)
    for finding in found.findings[:SHOWN]:
        print(finding.what)
    if len(found.findings) > SHOWN:
        print(f"… and {len(found.findings) - SHOWN:,} more")
    if found.repairs:
        print("to repair it:", *found.repairs, sep="\n  ")
    if found.findings:
        sys.exit(1)
    for line in remarks(found.totals):
        print(line)
    print(f"all is well in {settings.folder}: {counted(found.n_parts, 'part')}, {counts_line(found.totals)}")
    folder = settings.output.dir
    print(f"next: {next_command('analyze_emotion_annotations/01_statistics.py', {}, folder)}")
    print(f"or, for a data set to publish: {next_command('publish_annotations/01_export.py', {}, folder)}")


if __name__ == "__main__":
    run_script(AnnotationSettings, SETTINGS_FILE, __doc__, main, OUTPUT_FOLDER)
