"""The arguments of a script: a mistake in them is one line, which says what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

SET_HELP = (
    "change one setting, e.g. --set section.key=7, and several by several --set; in quotes a value with spaces, "
    '--set "dataset.path=my music", and a list, --set "export.folders=[output/a, output/b]"; null stands for none'
)
LONGEST_MESSAGE = 5_000  # characters that are shown; a command that repairs a folder may be long
WRONG_USAGE = 2  # exit code, as that of a wrong setting


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The known name that a text resembles most, as a question for a message; empty if it resembles none."""
    by_small_letters = {name.lower(): name for name in known}
    found = difflib.get_close_matches(text.lower(), list(by_small_letters), 1)
    return f" (did you mean {by_small_letters[found[0]]}?)" if found else ""


def printable(message: str) -> str:
    """A message as one line: names in it may have line breaks, or letters that change the screen."""
    return "".join(letter if letter.isprintable() else " " for letter in message[:LONGEST_MESSAGE])


class ScriptParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, as those of settings are, with the option that was meant."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As that of argparse; exits with WRONG_USAGE if an argument is unknown."""
        arguments, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            self.error(self._about(unknown[0]))
        return arguments

    def error(self, message: str) -> NoReturn:
        """Print the message as one line, and exit with WRONG_USAGE."""
        print(f"error: {printable(message)}; --help lists the arguments", file=sys.stderr)
        sys.exit(WRONG_USAGE)

    def _about(self, unknown: str) -> str:
        """What is wrong with an argument that no option takes."""
        if unknown.startswith("-"):
            name = unknown.partition("=")[0]
            options = [option for action in self._actions for option in action.option_strings]
            return f"unknown option {name}{did_you_mean(name, options)}"
        if "=" in unknown:
            return f"unknown argument {unknown!r} (did you mean --set {shlex.quote(unknown)}?)"
        return f"unknown argument {unknown!r}: a setting is written --set section.key=value, in quotes if it has spaces"
