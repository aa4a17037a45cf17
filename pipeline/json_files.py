"""JSON from a folder that anybody may have written: read strictly and in bounded memory, or refused.

Python's own reader accepts what isn't JSON (NaN, Infinity), turns 1e400 into infinity, and ends on deep brackets with
an error of the interpreter. A file may also be endless, a named pipe that never answers, or a folder.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from .settings import is_unicode

MAX_JSON_BYTES = 10_000_000  # far above the longest record that the project writes
MAX_DEPTH = 20  # of brackets within brackets; the project's own records have five


def read_json(path: Path) -> Any:
    """What a file of JSON holds; every number in it is finite, whole ones fit into 64 bits, every text is Unicode.

    Raises FileNotFoundError if there is no file, another OSError if it can't be read, and ValueError, with a few words
    that say why, for anything except a file of at most MAX_JSON_BYTES of standard JSON.
    """
    # O_NONBLOCK: opening a named pipe would wait until somebody writes to it
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    about = os.fstat(descriptor)
    if stat.S_ISDIR(about.st_mode):
        os.close(descriptor)
        raise ValueError("it is a folder")
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a file")
        if about.st_size > MAX_JSON_BYTES:
            raise ValueError(f"it is larger than {MAX_JSON_BYTES // 10**6} MB")
        content = file.read(MAX_JSON_BYTES)  # bounded again, for a file that grows meanwhile
    try:
        found = json.loads(
            content.decode(),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_int64,
            object_pairs_hook=_different,
        )
    except RecursionError:
        raise ValueError(f"it has more than {MAX_DEPTH} brackets within each other") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is not JSON") from None
    _check_members(found)
    return found


def _different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a key twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it has {constant}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it has a number that is too large")
    return number


def _int64(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:  # the length first: long numbers take long to read
        raise ValueError("it has a number that is too large")
    return int(text)


def _check_members(found: Any) -> None:
    """Raise ValueError for brackets deeper than MAX_DEPTH, or a text with half a surrogate pair, which UTF-8 lacks."""
    level = [found]
    for _ in range(MAX_DEPTH + 1):
        for member in level:
            if isinstance(member, str) and not is_unicode(member):
                raise ValueError("it has a text that is not Unicode")
        containers = [member for member in level if isinstance(member, (dict, list))]
        if not containers:
            return
        level = [m for c in containers for m in ([*c, *c.values()] if isinstance(c, dict) else c)]
    raise ValueError(f"it has more than {MAX_DEPTH} brackets within each other")
