"""How a redacted comment is spelt: by nobody's hand.

Belongs here: what is taken off before people are looked for, and what is made even afterwards. Does not belong here:
what is masked (`redaction.py`).
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

MASK = "[…]"
LONGEST = 20_000
"""Characters of a comment that are read; the rest is cut, not published unread."""

_SIMPLE = re.compile(r"[ !\"'()*+,\-./0-9:;?@A-Za-zА-Яа-яЁё—–«»№%…]*")
_TAG = re.compile(r"</?[a-zA-Z!][^<>]{0,400}>")
_BBCODE = re.compile(r"\[/?(?!user|url)[a-z*]{1,8}(?:=[^\[\]]{0,400})?\]", re.IGNORECASE)
_KEPT = frozenset("№…")
_UNSEEN = frozenset({"Mn", "Me", "Cf", "Cc", "Cs", "Co", "Cn", "So", "Sk", "Lo", "Lm"})


def plain(text: str) -> str:
    """A comment without markup, emoji and characters that show nothing; people's marks of markup stay."""
    plain = text[:LONGEST]
    if not _SIMPLE.fullmatch(plain):
        if "&" in plain:
            plain = html.unescape(plain)
        if "<" in plain:
            plain = _TAG.sub(" ", plain)
        if "[" in plain:
            plain = _BBCODE.sub(" ", plain)
        plain = "".join(map(_shown, unicodedata.normalize("NFC", plain)))
    return (
        "\n".join(" ".join(line.split()) for line in plain.splitlines()) if "\n" in plain else " ".join(plain.split())
    )


@lru_cache(maxsize=1 << 12)
def _shown(character: str) -> str:
    if character in _KEPT or character.isspace():
        return character
    if unicodedata.category(character) in _UNSEEN and not character.isalpha():
        return "" if unicodedata.category(character) in {"Mn", "Me", "Cf", "Sk"} else " "
    return unicodedata.normalize("NFKC", character)


_EMOTICON = re.compile(r"(?<!\w)[:;=]['-]?[)(dpо0*/]+(?!\w)|[)(]{2,}|\(\s*\)|(?<=[\w.!?])\s*\)+(?=\s*$)")
_EVEN = str.maketrans(
    {"«": '"', "»": '"', "“": '"', "”": '"', "„": '"', "’": "'", "–": "-", "—": "-", "‐": "-", "‑": "-", "…": "."}
)


def even(text: str) -> str:
    """The spelling of nobody: lower case, single marks, plain quotes and dashes."""
    lowered = text.lower()
    while _ODD.search(lowered):
        # A mark taken off can leave two others side by side.
        shown = " ".join(_RUNS.sub(_one_mark, _EMOTICON.sub(" ", lowered.translate(_EVEN))).split())
        if shown == lowered:
            break
        lowered = shown
    return lowered.strip()


_ODD = re.compile(r"[«»“”„’–—‐‑…()\n]|\s[\s!?.,;:]|[!?.,;]{2}|([-*+_=~^/|<>'\":])\1|[:;=]['-]?[)(dpо0*/]")
_RUNS = re.compile(r"\s+(?=[!?.,;:])|[!?.,;]{2,}|([-*+_=~^/|<>'\":])\1+")


def _one_mark(run: re.Match[str]) -> str:
    marks = run.group()
    return "" if marks.isspace() else "?" if "?" in marks else "!" if "!" in marks else marks[0]


MASKS = re.compile(re.escape(MASK))


def masked(text: str, spans: Sequence[tuple[int, int, str]]) -> tuple[str, tuple[str, ...], int]:
    """A text with the spans masked and the rest made even; the kinds of the spans, characters hidden."""
    marks = list(spans)
    if MASK in text:
        marks += [(match.start(), match.end(), "") for match in MASKS.finditer(text)]
    pieces: list[str] = []
    kinds: list[str] = []
    hidden = end = 0
    for begin, stop, kind in sorted(marks, key=lambda span: (span[0], -span[1])):
        first = max(begin, end)
        if stop <= first:
            continue
        if kind and kind not in kinds[-1:]:
            kinds.append(kind)
        # Masks in a row are one: their number would tell a full name from a short one.
        if not pieces or text[end:first].strip(" .\n"):
            pieces.append(text[end:first])
        hidden += len(text[first:stop].replace(" ", "")) if kind else 0
        end = stop
    pieces.append(text[end:])
    return _joined(pieces), tuple(kinds), hidden


def _joined(pieces: Sequence[str]) -> str:
    """Texts between masks, made even until that changes nothing: what parts two masks may vanish."""
    shown = ""
    while True:
        joined = f" {MASK} ".join(even(piece) for piece in pieces)
        joined = _BEFORE_MARK.sub("", _REPEATED.sub(MASK, " ".join(joined.split())))
        if joined == shown or not _ODD.search(joined.replace(MASK, "x")):
            return joined
        shown, pieces = joined, joined.split(MASK)


_BEFORE_MARK = re.compile(r"\s+(?=[!?.,;:)])")
_REPEATED = re.compile(rf"{re.escape(MASK)}(?:[ .]*{re.escape(MASK)})+")
