"""What a single word tells about people: whose name it may be, and whether it is an ordinary word as well.

Belongs here: readings of one word. Does not belong here: what stands around it (`people.py`, `self_references.py`),
forms of names (`names.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from pymorphy3.analyzer import Parse

from assets.rules.lexicon import sections
from assets.rules.names import key
from assets.rules.text import _morph as morph

SURNAME, NAME, PATRONYMIC = 1, 2, 4
WHO, POST, LATIN, DIGITS, LETTER = 1, 2, 4, 8, 16
"""What a word may be: somebody's name, a post or a department, part of an address, of a number, one letter."""

WORD = re.compile(r"[^\W_]+(?:[-\u2010\u2011'’][^\W_]+)*")
CYRILLIC = re.compile(r"[а-яё]", re.IGNORECASE)
RUSSIAN = re.compile(r"[а-я-]+")
_PATRONYMIC = re.compile(r"[а-я]{2,}(?:ович|евич|ьич|овн|евн|иничн|ичн|ыч)(?:а|у|ем|ом|е|ы|ой|и)?")
_NO_PATRONYMIC = re.compile(rf"(?:{'|'.join(sections('people')['no patronymics'])})[а-я]*")
_SURNAME = re.compile(
    r"[а-я]{2,}(?:[оеё]в|[иы]н|ск|цк)(?:|а|у|ым|ом|е|ой|ая|ую|ий|ого|ому|их|ыми?)"
    r"|[а-я]{2,}(?:енко|чук|щук|янц?|дзе|швили|оглы|заде)[а-я]{0,2}"
)
PARTS_OF_NAMES = frozenset(
    {"то", "ка", "де", "таки", "младший", "старший", "сан", "кызы", "оглы", "джан", "ага", "бек"}
)


def beginnings(section: str) -> tuple[str, ...]:
    """The entries of one section of `lexicon/people.txt`, as `str.startswith` takes them."""
    return sections("people")[section]


@cache
def listed(section: str) -> frozenset[str]:
    """The entries of one section of `lexicon/people.txt`."""
    return frozenset(beginnings(section))


@lru_cache(maxsize=1 << 16)
def parses(word: str) -> tuple[Parse, ...]:
    """What a word in Russian letters can be, likeliest first; nothing for other words."""
    return tuple(morph().parse(word)) if RUSSIAN.fullmatch(word) else ()


@lru_cache(maxsize=1 << 16)
def is_known(word: str) -> bool:
    """Whether the dictionary has a word."""
    return bool(RUSSIAN.fullmatch(word)) and bool(morph().word_is_known(word))


@lru_cache(maxsize=1 << 17)
def _reads(word: str, grammemes: tuple[str, ...], *, is_common: bool = False) -> bool:
    return any(
        parse.tag.grammemes.issuperset(grammemes) and not (is_common and _NAME_TAGS & parse.tag.grammemes)
        for parse in parses(word)
    )


_NAME_TAGS = frozenset({"Name", "Surn", "Patr"})
_NO_WORD = frozenset({"Geox", "Orgn", "Trad", "ADJS", "GRND", "PRTS", "COMP", "Abbr", "Init", "Poss"})


MOSTLY_A_WORD, MOSTLY_A_NAME = 0.8, 0.5
"""Shares of a form in running text, as pymorphy3 tells them."""


@lru_cache(maxsize=1 << 16)
def is_word(form: str, kinds: int) -> bool:
    """Whether a form of a name is an ordinary word that people use in comments."""
    if not is_known(form):
        return False
    readings = parses(form)
    names = sum(parse.score for parse in readings if _NAME_TAGS & parse.tag.grammemes)
    words = [parse for parse in readings if not (_NAME_TAGS | _NO_WORD) & parse.tag.grammemes]
    if not words:
        return False
    if any("Surn" in parse.tag.grammemes for parse in readings) and _SURNAME.fullmatch(form):
        return bool(sum(parse.score for parse in words) > MOSTLY_A_WORD)
    if any(parse.normal_form.replace("ё", "е") in listed("words") for parse in words):
        return True
    if kinds == PATRONYMIC:
        return False
    if kinds & SURNAME and len(form) > 3 and not _SURNAME.fullmatch(form) and all(p.tag.POS == "NOUN" for p in words):
        # "Бубенец": nobody speaks of such things at work.
        return False
    return bool(names < MOSTLY_A_NAME)


class Info:
    """What is known of one word as it is spelt.

    Attributes:
        key: lower case, disguises undone.
        shape: `l` lower case, `C` capitalised, `U` capitals.
        kinds: which parts of an employee's name it may be.
        owners: employees whose name it may be.
        is_sure: it is a name, whatever stands beside it.
        outsider: which parts of anybody's name it may be, and so surely that it is masked alone.
        maybe: which parts of anybody's name it may be beside another part.
        is_role, is_department: for self-references.
        flags: WHO, POST, LATIN, DIGITS, LETTER.
    """

    __slots__ = (
        "flags", "is_department", "is_role", "is_sure", "key", "kinds", "maybe", "outsider", "owners", "raw", "shape",
    )  # fmt: skip

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.key = key(raw)
        self.shape = "l" if raw[0].islower() or not raw[0].isalpha() else "U" if len(raw) > 1 and raw.isupper() else "C"
        self.kinds = self.outsider = self.maybe = self.flags = 0
        self.owners: frozenset[int] = frozenset()
        self.is_sure = self.is_role = self.is_department = False

    def has(self, *grammemes: str) -> bool:
        """Whether some reading of the word has all of these grammemes."""
        return _reads(self.key, grammemes)

    def has_common(self, *grammemes: str) -> bool:
        """The same of readings that are no names."""
        return _reads(self.key, grammemes, is_common=True)

    @property
    def lemmas(self) -> Iterator[str]:
        """Its dictionary forms."""
        return (parse.normal_form.replace("ё", "е") for parse in parses(self.key))

    def is_act(self, *grammemes: str) -> bool:
        """Whether it is a verb of what only people do."""
        return self.key.startswith(beginnings("acts")) and self.has("VERB", *grammemes)


_FUNCTION = frozenset({"CONJ", "PREP", "PRCL", "NPRO"})


@lru_cache(maxsize=1 << 14)
def is_function(word: str) -> bool:
    """Whether a word is likeliest a conjunction, preposition, particle or pronoun."""
    readings = parses(word)
    return bool(readings) and readings[0].tag.POS in _FUNCTION


FEWEST_CAPITALS = 4
"""Shorter words in capitals are abbreviations."""


def look_at_anybody(info: Info) -> None:
    """Whether a word may be the name of somebody who is no employee."""
    word = info.key
    if word in sections("words")["abbreviations"] or (info.shape == "U" and len(word) < FEWEST_CAPITALS):
        return
    if info.shape == "l" and not word.endswith(
        ("вич", "вича", "вичу", "вичем", "вна", "вны", "вне", "вной", "вну", "ыч")
    ):
        if len(word) > 3 and is_known(word) and sum(p.score for p in parses(word) if "Name" in p.tag.grammemes) > 0.95:
            info.outsider = info.maybe = NAME
        elif len(word) > 4 and all("Surn" in parse.tag.grammemes for parse in parses(word)[:2]):
            info.maybe = SURNAME
        return
    if _PATRONYMIC.fullmatch(word) and not _NO_PATRONYMIC.fullmatch(word) and not is_word(word, PATRONYMIC):
        is_patronymic = info.has("Patr") or not is_known(word)
        info.outsider = info.maybe = PATRONYMIC if is_patronymic else 0
        return
    in_dictionary, readings = is_known(word), parses(word)
    is_place = in_dictionary and any({"Geox", "Orgn", "Trad"} & parse.tag.grammemes for parse in readings)
    for grammeme, kind in (("Name", NAME), ("Surn", SURNAME), ("Patr", PATRONYMIC)):
        if any(grammeme in parse.tag.grammemes for parse in readings[:6] if in_dictionary or kind == SURNAME):
            info.maybe |= kind
    is_place_like = word.endswith(("ово", "ево", "ино", "ский", "ское", "ская"))
    if _SURNAME.fullmatch(word) and not in_dictionary and not is_place_like:
        info.maybe |= SURNAME
    if info.maybe and not is_word(word, 0) and not is_place and len(word) > 2:
        is_certain = info.maybe & (NAME | PATRONYMIC) or _SURNAME.fullmatch(word) or in_dictionary
        info.outsider = info.maybe if is_certain else 0
