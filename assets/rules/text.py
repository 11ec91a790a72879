"""What a comment says once markup, invisible characters and disguises are taken off.

Belongs here: normal form, words and lemmas of Russian and English, the keyboard layout and transliteration undone.
Does not belong here: whether a comment explains a score (`comments.py`) or what it complains about (`reasons.py`).

Everything here takes any string, lone surrogates and 100 kB of anything included, in time linear in its length.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from assets.rules.lexicon import sections

if TYPE_CHECKING:
    from pymorphy3 import MorphAnalyzer

WORDS_READ = 400
"""Words looked at in one comment; a reason stands among the first of them, and the rest only costs time."""

LONGEST_WORD = 60
LONGEST_DISGUISE = 40
"""Words of a text that is tried in another layout; nobody types a paragraph blindly."""

# Characters that show nothing: soft hyphen, joiners, direction marks, blank letters, variation selectors, tags.
_INVISIBLE_RANGES = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF9, 0xFFFB),
    (0xE0000, 0xE01EF),
)
_INVISIBLE = {code: None for first, last in _INVISIBLE_RANGES for code in range(first, last + 1)}
_PLAIN = re.compile(r"[ !\"'()*+,\-./0-9:;?A-Za-zА-Яа-яЁё—–«»№%…]*")
"""Texts of these characters alone are their own normal form, but for spaces."""
_TAG = re.compile(r"</?[a-zA-Z!][^<>]{0,400}>")
_BBCODE = re.compile(
    r"\[/?(?:b|i|u|s|p|br|url|img|quote|code|color|size|font|list|user|left|right|center|table|tr|td|th|video|\*)"
    r"(?:=[^\[\]]{0,400})?\]",
    re.IGNORECASE,
)
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff\ufe20-\ufe2f]+")
"""Strokes and accents that survive composition: letters struck through, stacked marks."""
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")

_LOOKALIKES = str.maketrans("abcehkmoptxyαεηκονρτυχі", "авсенкмортхуаенкоиртухи")
_LEET = str.maketrans("0346", "озчб")
_LEET_INSIDE = re.compile(r"(?<=[а-яё])[0346](?=[а-яё])")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[.,;:!?()—–…]+|\s-\s")
_SPELT_OUT = re.compile(
    r"(?<![^\W_])(?:[^\W\d_][\W_]{1,3}){2,}[^\W\d_](?![^\W_])|(?<![^\W_])[^\W\d_]\.[^\W\d_]\.?(?![^\W_])"
)
"""Single letters with something between them: "н е т", "Н.Е.Т.", "о.к."."""
_AMOUNT = re.compile(r"\bкол-в(?=[оау])")
"""Hyphens part words; this abbreviation would leave a score ("кол") behind."""
_RUNS = {1: re.compile(r"(.)\1+"), 2: re.compile(r"(.)\1{2,}")}
_CYRILLIC = re.compile(r"[а-яё]")
_LATIN = re.compile(r"[a-z]")
_RUSSIAN = re.compile(r"[а-я]+")

_QWERTY = str.maketrans("qwertyuiop[]asdfghjkl;'zxcvbnm,.`", "йцукенгшщзхъфывапролджэячсмитьбюе")
_JCUKEN = {ord(chr(value) if isinstance(value, int) else value): chr(key) for key, value in _QWERTY.items()}
_TRANSLIT = (
    ("shch", "щ"), ("sch", "щ"), ("yo", "е"), ("jo", "е"), ("zh", "ж"), ("kh", "х"), ("ts", "ц"), ("ch", "ч"),
    ("sh", "ш"), ("yu", "ю"), ("ju", "ю"), ("ya", "я"), ("ja", "я"), ("ye", "е"),
)  # fmt: skip
_TRANSLIT_LETTERS = str.maketrans("abvgdezijklmnoprstufhcyqwx'", "абвгдезийклмнопрстуфхцыкв" + "кь")

TELLING = {"past": "past", "now": "3per"}
OWN_FORMS = frozenset({"1per", "impr"})
FUNCTION_POS = frozenset({"CONJ", "PREP", "PRCL", "INTJ", "NPRO"})


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a comment.

    Attributes:
        text: lower case, е for ё, look-alike letters undone.
        lemmas: its possible dictionary forms, likeliest first; the text itself for unknown words.
        is_known: whether a dictionary has it.
        is_function: whether its likeliest reading is a conjunction, preposition, particle, interjection or pronoun.
        tells: `past`, `now` (third person) or `passive` (short participle) if it is a verb form that tells what
            somebody did or does, or what was done; else empty.
        is_own: whether it is a verb in the first person, or a plural imperative.
        is_number: digits.
    """

    text: str
    lemmas: tuple[str, ...]
    is_known: bool
    is_function: bool
    tells: str = ""
    is_own: bool = False
    is_number: bool = False


def normal_form(raw: str) -> str:
    """The comment as a reader sees it: no markup, no invisible characters, compatibility letters made plain."""
    text = raw
    if not _PLAIN.fullmatch(text):
        if "&" in text:
            text = html.unescape(text)
        if "<" in text:
            text = _TAG.sub(" ", text)
        if "[" in text:
            text = _BBCODE.sub(" ", text)
        text = unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
        text = _MARKS.sub("", text)
    return _SPACES.sub(" ", text).strip()


def tokens(normal: str) -> list[str]:
    """Words, numbers and the marks that end a clause, of a text in normal form, disguises of single words undone."""
    lowered = _AMOUNT.sub("количеств", normal.lower().replace("ё", "е"))
    if _LEET_INSIDE.search(lowered):
        lowered = _LEET_INSIDE.sub(lambda found: found.group().translate(_LEET), lowered)
    if _SPELT_OUT.search(lowered):
        lowered = _SPELT_OUT.sub(_joined, lowered)
    found = islice(_TOKEN.finditer(lowered), WORDS_READ * 2)
    return [_undisguised(match.group()) for match in found]


def _joined(found: re.Match[str]) -> str:
    return "".join(character for character in found.group() if character.isalpha())


@lru_cache(maxsize=1 << 16)
def _undisguised(token: str) -> str:
    """Latin and Greek letters that stand for Cyrillic ones in a Russian word; marks in a row are one mark."""
    if not token[0].isalnum():
        return "?" if "?" in token else token.strip()[0]
    if token.isdigit() or len(token) > LONGEST_WORD:
        return token[:LONGEST_WORD]
    replaced = token.translate(_LOOKALIKES)
    if replaced == token:
        return token
    if _CYRILLIC.search(token):
        return replaced
    # A whole word of look-alikes ("HET", "OK"): Russian only if no English word is spelt so.
    is_russian = not _LATIN.search(replaced) and token not in english() and _morph().word_is_known(replaced)
    return replaced if is_russian and len(token) > 1 else token


@cache
def english() -> frozenset[str]:
    """English words that comments are made of."""
    return frozenset(word for words in sections("english").values() for word in words)


@cache
def english_function_words() -> frozenset[str]:
    """Articles, prepositions, pronouns, auxiliaries."""
    return frozenset(sections("english")["function words"])


@cache
def _morph() -> MorphAnalyzer:
    from pymorphy3 import MorphAnalyzer

    return MorphAnalyzer(lang="ru")


@cache
def _abbreviations() -> frozenset[str]:
    return frozenset(sections("words")["abbreviations"])


@lru_cache(maxsize=1 << 16)
def word(token: str) -> Word:
    """Looks a word up.

    Args:
        token: from `tokens`.

    Returns:
        Unknown words have themselves as their only lemma.
    """
    if token.isdigit():
        return Word(token, (token,), is_known=True, is_function=False, is_number=True)
    if token in _abbreviations():
        return Word(token, (token,), is_known=True, is_function=False)
    if _LATIN.search(token):
        return _english_word(token)
    if not _RUSSIAN.fullmatch(token):
        # The dictionary's guesses by prefix and ending raise on scripts that it has no names for.
        return Word(token, (token,), is_known=False, is_function=False)
    morph = _morph()
    spelling = token
    if not morph.word_is_known(token):
        # "нееет", "ооочень": letters held down.
        for keep in (2, 1):
            squeezed = squeeze(token, keep)
            if squeezed != token and morph.word_is_known(squeezed):
                spelling = squeezed
                break
    parses = morph.parse(spelling)
    is_known = bool(parses) and morph.word_is_known(spelling) and len(spelling) > 1
    likeliest = parses[0] if parses else None
    lemmas = tuple(dict.fromkeys(parse.normal_form.replace("ё", "е") for parse in parses[:6])) or (spelling,)
    part_of_speech = str(likeliest.tag.POS) if likeliest is not None else ""
    tells = "passive" if part_of_speech == "PRTS" else ""
    if likeliest is not None and part_of_speech == "VERB":
        tells = next((name for name, form in TELLING.items() if form in likeliest.tag.grammemes), "")
    is_own = part_of_speech == "VERB" and bool(
        likeliest
        and OWN_FORMS & likeliest.tag.grammemes
        and ("impr" not in likeliest.tag.grammemes or "plur" in likeliest.tag.grammemes)
    )
    is_function = part_of_speech in FUNCTION_POS or (likeliest is not None and "Apro" in likeliest.tag.grammemes)
    if not is_known:
        lemmas = tuple(dict.fromkeys((spelling, *lemmas[:2])))
    return Word(spelling, lemmas, is_known, is_function, tells, is_own)


def _english_word(token: str) -> Word:
    stems = [token]
    for ending, replacements in (
        ("'s", ("",)), ("ies", ("y",)), ("es", ("", "e")), ("s", ("",)), ("ied", ("y",)), ("ed", ("", "e")),
        ("ing", ("", "e")), ("ly", ("", "le")), ("er", ("", "e")), ("n't", ("",)),
    ):  # fmt: skip
        if token.endswith(ending) and len(token) - len(ending) >= 2:
            stem = token[: -len(ending)]
            stems += [stem + added for added in replacements]
            if len(stem) > 3 and stem[-1] == stem[-2]:
                stems.append(stem[:-1])
    known = [stem for stem in stems if stem in english()]
    lemma = known[-1] if known and token not in english() else token
    is_function = bool(english_function_words() & {token, lemma})
    return Word(token, tuple(dict.fromkeys((token, lemma))), bool(known), is_function)


def squeeze(token: str, keep: int) -> str:
    """A word with every run of one letter cut to `keep`."""
    return _RUNS[keep].sub(lambda run: run.group(1) * keep, token)


def reading(normal: str) -> list[str]:
    """Tokens of a text; of one typed in the wrong layout or in Latin letters, those that were meant.

    Args:
        normal: the text in normal form.

    Returns:
        The reading that knows most words, if it knows at least two thirds of them and more than the text as it stands.
    """
    parts = tokens(normal)
    own = [part for part in parts if part[0].isalpha()]
    if not own or len(own) > LONGEST_DISGUISE:
        return parts
    known = sum(word(part).is_known for part in own)
    if known == len(own):
        return parts
    # As typed: look-alike letters of single words are Cyrillic by now ("tak" in "prosto tak").
    latin = sum(bool(_LATIN.search(part)) for part in _WORD.findall(normal.lower()))
    candidates: list[list[str]] = []
    if latin * 2 > len(own):
        candidates = [[translit(part) for part in parts], tokens(normal.lower().translate(_QWERTY))]
    elif not latin and known * 2 < len(own):
        candidates = [tokens(normal.lower().translate(_JCUKEN))]
    best = (known, parts)
    for candidate in candidates:
        readable = [part for part in candidate if part[:1].isalpha()]
        understood = sum(_is_understood(part) for part in readable)
        if understood * 3 >= len(readable) * 2 and understood > best[0]:
            best = (understood, candidate)
    return best[1]


def _is_understood(part: str) -> bool:
    return part in _short_words() or (len(part) > 2 and word(part).is_known) or word(part).is_function


@cache
def _short_words() -> frozenset[str]:
    return frozenset(sections("words")["filler"]) | _abbreviations()


def translit(token: str) -> str:
    """A word in Latin letters as it would be spelt in Russian."""
    for latin, cyrillic in _TRANSLIT:
        token = token.replace(latin, cyrillic)
    return token.translate(_TRANSLIT_LETTERS)


@lru_cache(maxsize=1 << 14)
def is_name(token: str) -> bool:
    """Whether a word can be a first name, surname, patronymic or the like."""
    return bool(_RUSSIAN.fullmatch(token)) and any(
        {"Name", "Surn", "Patr", "Orgn", "Geox"} & parse.tag.grammemes for parse in _morph().parse(token)
    )
