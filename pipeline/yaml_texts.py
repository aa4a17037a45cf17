"""YAML of settings and of what strangers wrote, read as the texts that it holds, in bounded time and memory.

YAML guesses types: it makes 42798 of the text 0123456, and a date of 2020-01-01. Here every value stays the text that
is written; who reads it knows its type. Aliases can stand for billions of values, tags for any object of the program,
and of two equal keys YAML takes the last: settings, which don't need these, refuse them.
"""

from __future__ import annotations

import contextlib
from typing import Any

import yaml

LARGEST_FILE = 1_000_000  # characters; the project's own files have less than 10,000
DEEPEST = 20  # sections and lists inside each other
MOST_VALUES = 100_000  # that aliases may stand for, in a text by others
_NOTHING = ("", "~", "null")
_YES, _NO = ("true", "yes", "on"), ("false", "no", "off")


class Plain(str):
    """A value as it was written without quotes, whose type its reader knows."""

    @property
    def is_nothing(self) -> bool:
        """Whether it means that there is no value."""
        return self.strip().lower() in _NOTHING

    def as_type(self, hint: Any) -> Any:
        """The value as a bool, a whole number or a real number, or unchanged if it is none."""
        text = self.strip().lower()
        if hint is bool and text in (*_YES, *_NO):
            return text in _YES
        with contextlib.suppress(ValueError):  # also for a number of more digits than Python converts
            if hint is int:
                return int(self)
            if hint is float:
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        return str(self)


def parsed_yaml(text: str, strict: bool = True) -> Any:
    """YAML as dictionaries, lists, texts (those in quotes) and Plain values (all others).

    strict: refuse tags, anchors, aliases and equal keys, as settings do; otherwise tags are ignored, and of equal keys
    the last counts. Raises YAMLError if the text is not valid or too large: over LARGEST_FILE characters, DEEPEST
    levels, or MOST_VALUES values.
    """
    if len(text) > LARGEST_FILE:
        raise yaml.YAMLError(f"longer than {LARGEST_FILE:,} characters")
    loader = _Loader(text)
    loader.strict = strict
    try:
        node = loader.get_single_node()
        return Plain() if node is None else _Values(strict).of(node)
    except RecursionError:  # an alias within the list that it stands for
        raise yaml.YAMLError("a list or section that is inside itself") from None
    except (ValueError, OverflowError) as error:  # a letter or version that can't be: the library doesn't check all
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def problem_of(error: yaml.YAMLError) -> str:
    """What is wrong with a text that `parsed_yaml` refused, without the place."""
    return str(getattr(error, "problem", None) or (str(error).strip().splitlines() or [type(error).__name__])[0])


class _Loader(yaml.SafeLoader):
    """Composes YAML not deeper than DEEPEST; a strict one without aliases and tags."""

    strict = True
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if self.strict and (isinstance(event, yaml.AliasEvent) or event.anchor is not None):
            raise _refused("anchors (&) and aliases (*) have no meaning here; put the text into quotes", event)
        if self.strict and getattr(event, "tag", None) is not None:
            raise _refused(f"the tag {event.tag} has no meaning here", event)
        if self._depth == DEEPEST:
            raise _refused(f"lists and sections in each other, more than {DEEPEST} deep", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Values:
    """Makes values of nodes, at most MOST_VALUES."""

    def __init__(self, strict: bool):
        self._strict = strict
        self._left = MOST_VALUES

    def of(self, node: yaml.Node) -> Any:
        """The value of a node."""
        self._left -= 1
        if self._left < 0:
            raise _refused(f"more than {MOST_VALUES:,} values", node)
        if isinstance(node, yaml.MappingNode):
            values: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = key_node.value
                if not isinstance(key, str):
                    raise _refused("a key is a list or a section", key_node)
                if self._strict and key in values:
                    raise _refused(f"'{key}' is there twice", key_node)
                values[key] = self.of(value_node)
            return values
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item) for item in node.value]
        return Plain(node.value) if getattr(node, "style", None) is None else str(node.value)


def _refused(problem: str, at: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
