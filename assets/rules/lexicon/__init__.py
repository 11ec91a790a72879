"""The word lists of the comment rules, and how they are read.

Belongs here: data files and their format. Does not belong here: what a list means for a verdict (`comments.py`,
`reasons.py`).

A list is a text file of sections. `[name]` starts a section, `#` starts a comment, entries are separated by commas or
line ends. Entries are written in lower case, with е for ё, words as lemmas (infinitive, nominative singular masculine)
unless the section says otherwise. A company grows the lists with what `estafeta rules suggest` shows.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


class LexiconError(Exception):
    """A word list cannot be read; the message names file and line."""


@cache
def sections(name: str) -> dict[str, tuple[str, ...]]:
    """Reads one list.

    Args:
        name: file name in this folder, without `.txt`.

    Returns:
        Entries by section, in the order of the file.

    Raises:
        LexiconError: an entry before the first section, or a section that stands twice.
    """
    found: dict[str, list[str]] = {}
    entries: list[str] | None = None
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if content.startswith("[") and content.endswith("]"):
            section = content[1:-1]
            if section in found:
                raise LexiconError(f"The word list {name}.txt names the section {section} twice, at line {number}.")
            entries = found[section] = []
        elif content and entries is None:
            raise LexiconError(f"The word list {name}.txt has an entry before its first section, at line {number}.")
        elif entries is not None:
            entries += [entry.strip() for entry in content.split(",") if entry.strip()]
    return {section: tuple(entries) for section, entries in found.items()}
