"""What the words of a comment are about, and the turns of phrase that give a dodge away.

Belongs here: classes of words from `lexicon/words.txt`, phrases from `lexicon/phrases.txt`, runs of keys. Does not
belong here: what follows for a verdict (`comments.py`), reasons (`reasons.py`), words and lemmas (`text.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from assets.rules.lexicon import sections
from assets.rules.text import Word, word

_CLASSES = (
    "form core", "score", "score verbs", "grade", "form", "refusal", "test", "filler", "leisure", "good", "bad",
    "generic", "elsewhere", "principle", "topics",
)  # fmt: skip
_BITS = {name: 1 << number for number, name in enumerate(_CLASSES)}
(CORE, SCORE, SCORING, GRADE, FORM, REFUSAL, TEST, FILLER, LEISURE, GOOD, BAD, GENERIC, ELSEWHERE, PRINCIPLE, TOPIC) = (
    _BITS.values()
)
"""Classes as bits: a word can be of several."""
MARKERS = SCORE | SCORING | FORM | REFUSAL | TEST | LEISURE
"""Classes that say nothing about the work."""
STATEMENTS = GOOD | BAD | GENERIC | ELSEWHERE | PRINCIPLE
"""Classes that say something about it, but no reason."""

FEWEST_LETTERS = 3
"""Of a word, and of a comment."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word of a comment with what the lists say of it.

    Attributes:
        word: the word.
        classes: bits of the classes it belongs to, 0 if no list has it.
        is_swearing: whether it is obscene.
        is_mash: whether it looks like a run of keys.
        is_run: whether it is one letter held down.
    """

    word: Word
    classes: int
    is_swearing: bool = False
    is_mash: bool = False
    is_run: bool = False

    @property
    def is_listed(self) -> bool:
        """Whether the lists say what the word is about."""
        return bool(self.classes or self.is_swearing)

    @property
    def is_about_work(self) -> bool:
        """Whether it names a thing of work or blames, and no dodge needs it."""
        return bool(self.classes & (TOPIC | BAD)) and not self.classes & (MARKERS ^ FORM | CORE | FILLER)

    @property
    def is_about_form(self) -> bool:
        """Whether no complaint about a task needs it, or it says what the rater does or will do with the form."""
        return bool(self.classes & CORE) or self.is_own_act

    @property
    def is_own_act(self) -> bool:
        """Whether it says what the rater does or will do with the form."""
        return self.word.is_own and bool(self.classes & (FORM | REFUSAL | TEST))

    @property
    def tells_of_others(self) -> bool:
        """Whether it tells what the colleague did: not what the rater says of himself, or of the form."""
        if not self.word.tells or self.classes & (FILLER | SCORE | SCORING):
            return False
        if self.word.tells == "past":
            return listed("own past").isdisjoint(self.word.lemmas)
        return self.word.tells == "passive" or listed("form verbs").isdisjoint(self.word.lemmas)

    @property
    def is_solid(self) -> bool:
        """Whether a reason may rest on it alone: no dodge, no verdict and no bare topic is made of such words."""
        if self.tells_of_others:
            return True
        if self.classes & (MARKERS | STATEMENTS | FILLER | TOPIC):
            return False
        return not self.word.is_function or self.word.text in listed("persons")


@cache
def listed(section: str) -> frozenset[str]:
    """Words of a section of `words.txt`."""
    return frozenset(sections("words")[section])


@cache
def phrases(section: str) -> frozenset[str]:
    """Phrases of a section of `phrases.txt`."""
    return frozenset(sections("phrases")[section])


@cache
def _classes() -> dict[str, int]:
    found: dict[str, int] = {}
    for name, bit in _BITS.items():
        for lemma in listed(name):
            found[lemma] = found.get(lemma, 0) | bit
    return found


@cache
def _swearing() -> re.Pattern[str]:
    stems = "|".join(map(re.escape, sections("words")["swear stems"]))
    return re.compile(rf"(?:по|за|на|о|от|раз|до|вы|у|при|пере|недо)?(?:{stems})")


@lru_cache(maxsize=1 << 16)
def term(token: str) -> Term:
    """Looks a word up in the lists.

    Args:
        token: from `text.tokens`.
    """
    found = word(token)
    if found.is_number:
        return Term(found, SCORE)
    lists = _classes()
    classes = lists.get(token, 0)
    for lemma in found.lemmas:
        classes |= lists.get(lemma, 0)
    swears = bool(_swearing().match(found.text)) and listed("swear traps").isdisjoint(found.lemmas)
    is_mash = not (found.is_known or classes or swears) and looks_mashed(token)
    return Term(found, classes, swears, is_mash, is_run=len(token) > 1 and len(set(token)) == 1)


# --- phrases -------------------------------------------------------------------------------------------------------

_STEM = 3
"""Letters by which phrases of one word are looked up; those of more words begin with a whole word."""


@cache
def _by_opening(names: tuple[str, ...]) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for rank, name in enumerate(names):
        for phrase in sections("phrases")[name]:
            first, _, more = phrase.partition(" ")
            found.setdefault(first if more else first[:_STEM], []).append((rank, phrase))
    return found


def places(key: str, names: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """Where phrases stand in a comment.

    Args:
        key: its words, joined by spaces.
        names: sections of `phrases.txt`; the last word of a phrase may go on in the comment.

    Returns:
        Place of the section in `names`, number of the first word, and of the word after the last; sorted.
    """
    by_opening = _by_opening(names)
    found: list[tuple[int, int, int]] = []
    place = 0
    for number, first in enumerate(key.split(" ")):
        for opening in {first, first[:_STEM]}:
            for rank, phrase in by_opening.get(opening, ()):
                if key.startswith(phrase, place):
                    found.append((rank, number, number + phrase.count(" ") + 1))
        place += len(first) + 1
    return sorted(found)


def is_verdict(key: str) -> bool:
    """Whether a comment is a turn that only sounds like a reason, give or take a word."""
    return any(first == 0 and key.count(" ") <= last for _, first, last in places(key, ("verdicts",)))


# --- keyboard mash -------------------------------------------------------------------------------------------------

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю", "абвгдежзик", "abcdefgh")
_STEPS = {row[at : at + 2] for row in _ROWS for at in range(len(row) - 1)}
_NEIGHBOURS = _STEPS | {pair[::-1] for pair in _STEPS}
_HOME_ROWS = (frozenset("asdfghjkl"), frozenset("фывапролджэ"))
_UPPER_ROWS = (frozenset("qwertyuiop"), frozenset("йцукенгшщзхъ"))
_VOWELS = frozenset("аеиоуыэюяaeiouy")
_CONSONANTS = re.compile(r"[бвгджзйклмнпрстфхцчшщъьbcdfghjklmnpqrstvwxz]{5}")
_PERIOD = re.compile(r"(.{1,6}?)\1+.{0,2}")
_UNHEARD = re.compile(
    "[бвгджзклмнпрстфхцчшщй][ъыь]{2}|^[ъыь]|[аеиоуыэюя][ъь]|[аеиоуыэюя]{4}|[йцфщ]{3}|жы|шы|чю|щю|[цхйщчжш][йэ]"
    "|й[аоуыэ]|ы[аоуыэ]|э[аеоу]"
)
"""Pairs of letters that Russian spelling hardly knows."""
_WALK = 0.75
"""Share of steps to the next key from which a word is a walk over the keyboard."""
_SHORTEST_ON_HOME_ROW, _SHORTEST_ON_UPPER_ROW = 4, 5


def looks_mashed(token: str) -> bool:
    """Whether an unknown word is a run of keys rather than a slip or a strange name."""
    letters = set(token)
    if len(token) < FEWEST_LETTERS or not _VOWELS & letters or _CONSONANTS.search(token):
        return True
    pairs = [token[at : at + 2] for at in range(len(token) - 1)]
    if sum(pair in _NEIGHBOURS or pair[0] == pair[1] for pair in pairs) >= _WALK * len(pairs):
        return True
    if len(token) >= _SHORTEST_ON_HOME_ROW and (_PERIOD.fullmatch(token) or any(letters <= row for row in _HOME_ROWS)):
        return True
    if len(token) >= _SHORTEST_ON_UPPER_ROW and any(letters <= row for row in _UPPER_ROWS):
        return True
    return len(_UNHEARD.findall(token)) * 4 >= len(token) - 2
