"""Check an output folder of 01_annotate.py: every part there and unchanged, every row of the dataset in it once.

Reads the md5s of the dataset again, where run.json says it is, or at dataset.path if that is set. Says what is missing
or wrong and the command that mends it, and ends with exit code 1 then.
"""

import sys

from pipeline.settings import counted, run_script
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.run_log import in_words
from process_gigamidi.verification import verify

SHOWN = 20  # findings that are told one by one


def main(settings: AnnotationSettings) -> None:
    """Verify, and say what was found."""
    found = verify(settings)
    for finding in found.findings[:SHOWN]:
        print(finding.what)
    if len(found.findings) > SHOWN:
        print(f"… and {len(found.findings) - SHOWN:,} more")
    if found.mending:
        print("to mend it:", *found.mending, sep="\n  ")
    if found.findings:
        sys.exit(1)
    print(f"all is well in {settings.folder}: {counted(found.n_parts, 'part')}, {in_words(found.totals)}")


if __name__ == "__main__":
    run_script(AnnotationSettings, SETTINGS_FILE, __doc__, main)
