"""The forms in which a person's name stands in a Russian text.

Belongs here: declension, short names, colloquial patronymics, names in Latin letters. Does not belong here: which of
the forms are masked, and where (`redaction.py`).

Two inflectors are united, since each misses what the other knows (privacy research §4): pymorphy3 knows words,
pytrovich rules of names. A third, by ending alone, adds what people write against the rules: "Сидоренку", "Кимой".
Too many forms cost little: a form that is an ordinary word is told from the name where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from pytrovich.enums import Case, Gender, NamePart
from pytrovich.maker import PetrovichDeclinationMaker

from assets.rules.lexicon import sections
from assets.rules.text import _morph as morph

_LOOKALIKES = str.maketrans("abcehkmoptxyu", "авсенкмортхуи")
_DIGITS = str.maketrans("0134689", "оизчбвд")
_CASES = (Case.GENITIVE, Case.DATIVE, Case.ACCUSATIVE, Case.INSTRUMENTAL, Case.PREPOSITIONAL)
_GENDERS = {"m": (Gender.MALE,), "f": (Gender.FEMALE,), "": (Gender.MALE, Gender.FEMALE)}
_CONSONANTS = frozenset("бвгджзклмнпрстфхцчшщ")
_HISSING, _BACK = frozenset("жчшщц"), frozenset("гкхжчшщ")
_PLAIN_ADJECTIVES = frozenset({"COMP", "ADJS", "PRTS"})

_RUSSIAN_SOUNDS = str.maketrans({
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ж": "Z", "з": "z", "и": "i", "й": "i", "к": "k",
    "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "х": "h",
    "ц": "T", "ч": "C", "ш": "S", "щ": "S", "ъ": "", "ы": "i", "ь": "", "э": "e", "ю": "u", "я": "a", "-": "",
})  # fmt: skip
_LATIN_SOUNDS = (
    ("shch", "S"), ("sch", "S"), ("sh", "S"), ("zh", "Z"), ("kh", "h"), ("tch", "C"), ("ch", "C"), ("ts", "T"),
    ("tz", "T"), ("ph", "f"), ("ck", "k"), ("x", "ks"), ("w", "v"), ("q", "k"), ("yo", "e"), ("jo", "e"), ("y", "i"),
    ("j", "i"), ("'", ""), ("-", ""),
)  # fmt: skip


def key(word: str) -> str:
    """A word as forms are compared: lower case, е for ё, look-alike letters and digits of a Russian word undone."""
    lowered = word.lower().replace("ё", "е").replace("‐", "-").replace("‑", "-")
    if lowered.isalpha() and not lowered.isascii() and not any("a" <= letter <= "z" for letter in lowered):
        return lowered
    if any("а" <= letter <= "я" for letter in lowered):
        return lowered.translate(_LOOKALIKES).translate(_DIGITS)
    return lowered


# --- declension ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 15)
def surname_forms(surname: str, sex: str) -> frozenset[str]:
    """Forms of a surname, of the parts of a double one too.

    Args:
        surname: nominative, in any case.
        sex: `m`, `f` or '' for unknown.

    Returns:
        Keys, the nominative among them.
    """
    whole = key(surname)
    forms = _inflected(whole, sex, NamePart.LASTNAME, "Surn") | _by_ending(whole)
    if "-" in whole:
        first, _, last = whole.rpartition("-")
        heads = _inflected(first, sex, NamePart.LASTNAME, "Surn") | _by_ending(first)
        tails = _inflected(last, sex, NamePart.LASTNAME, "Surn") | _by_ending(last)
        # Both parts are declined, or the last one only.
        forms |= {f"{first}-{tail}" for tail in tails} | {f"{head}-{tail}" for head in heads for tail in tails}
        forms |= {form for part in (*whole.split("-"),) if len(part) > 3 for form in surname_forms(part, sex)}
    return frozenset(forms)


@lru_cache(maxsize=1 << 13)
def name_forms(name: str) -> frozenset[str]:
    """Forms of a first name, of its short names, and what is made of them: "Игоря", "Катюше", "Димкин"."""
    whole = key(name)
    if not whole:
        return frozenset()
    shorts = set(_short_names().get(whole, ()))
    forms = _inflected(whole, "", NamePart.FIRSTNAME, "Name") | _by_ending(whole)
    for short in {whole, *shorts}:
        stems = {short, *_endearing(short)}
        for form in stems:
            forms |= _by_ending(form) | _possessive(form)
        if short != whole:
            forms |= _lexeme(short, "Name")
    return frozenset(forms)


@lru_cache(maxsize=1 << 13)
def patronymic_forms(patronymic: str, sex: str) -> frozenset[str]:
    """Forms of a patronymic and of what is said for it: "Иваныч", "Сергевна"."""
    whole = key(patronymic)
    if not whole:
        return frozenset()
    spoken = {whole}
    for ending, others in (
        ("ович", ("ыч", "ич")), ("аевич", ("аич",)), ("еевич", ("еич",)), ("ьевич", ("ьич",)), ("иевич", ("ич", "ьич")),
        ("овна", ("на", "нна")), ("евна", ("вна",)),
    ):  # fmt: skip
        if whole.endswith(ending) and len(whole) - len(ending) >= 2:
            spoken |= {whole[: -len(ending)] + other for other in others}
    spoken |= {_SPOKEN[form] for form in spoken & _SPOKEN.keys()}
    forms = _inflected(whole, sex, NamePart.MIDDLENAME, "Patr")
    return frozenset(forms.union(*map(_by_ending, spoken)))


_SPOKEN = {
    "михайлович": "михалыч",
    "александрович": "саныч",
    "павлович": "палыч",
    "павловна": "пална",
    "александровна": "санна",
    "михайловна": "михална",
    "николаевна": "николавна",
    "станиславович": "станиславыч",
}


def _inflected(word: str, sex: str, part: NamePart, grammeme: str) -> set[str]:
    forms = {word} | _lexeme(word, grammeme)
    for gender in _GENDERS.get(sex, _GENDERS[""]):
        forms.update(key(_petrovich().make(part, gender, case, word)) for case in _CASES)
    return forms


def _lexeme(word: str, grammeme: str) -> set[str]:
    """What pymorphy3 declines a nominative to: as a name, and as the word that it also is ("Заяц", "Быстрый")."""
    forms: set[str] = set()
    for parse in morph().parse(word):
        grammemes = parse.tag.grammemes
        is_name = grammeme in grammemes
        if "nomn" not in grammemes or not (is_name or ("sing" in grammemes and {"NOUN", "ADJF"} & grammemes)):
            continue
        for form in parse.lexeme:
            if is_name or (not _PLAIN_ADJECTIVES & form.tag.grammemes and "Supr" not in form.tag.grammemes):
                forms.add(key(form.word))
    return forms


@cache
def _petrovich() -> PetrovichDeclinationMaker:
    return PetrovichDeclinationMaker()


def _by_ending(word: str) -> set[str]:
    """Forms by the last letters alone, right or wrong."""
    if len(word) < 2:
        return {word}
    last, stem = word[-1], word[:-1]
    endings: Iterable[str] = ()
    forms = {word}
    if last in _CONSONANTS and not word.endswith(("ых", "их")):
        stem, endings = word, ("а", "у", "ом", "ем", "е", "ы" if last not in _BACK else "и", "ым")
        if word[-2] in "еоя" and len(word) > 3 and last in "кцн":
            # "Кравец" - "Кравца", "Сашок" - "Сашка", "Игорек" - "Игорька", "Заяц" - "Зайца".
            soft = "ь" if word[-2] == "е" and last == "к" else "й" if word[-2] == "я" else ""
            forms |= {word[:-2] + soft + last + ending for ending in ("а", "у", "ом", "ем", "е", "и")}
    elif last == "й":
        endings = ("я", "ю", "ем", "е", "и")
        if word.endswith(("ый", "ий", "ой")):
            stem, endings = (
                word[:-2],
                ("ого", "его", "ому", "ему", "ым", "им", "ом", "ем", "ая", "ой", "ую", "ые", "ых"),
            )
    elif last == "ь":
        endings = ("я", "ю", "ем", "е", "и", "ью")
    elif last == "а":
        endings = ("ы" if stem[-1] not in _BACK else "и", "е", "у", "ой", "ою", "ей") if stem else ()
        if word.endswith(("ова", "ева", "ина", "ына")):
            endings = (*endings, "ых", "ым")
    elif last == "я":
        endings = ("и", "е", "ю", "ей", "ею")
        if word.endswith("ая"):
            stem, endings = word[:-2], ("ой", "ую", "ою", "ей", "ый", "ого")
    elif last == "о":
        endings = ("и", "е", "у", "ой", "ы", "а", "ом")
    forms |= {stem + ending for ending in endings}
    return forms


def _endearing(short: str) -> set[str]:
    """As "Маша" - "Машка", "Машенька"; "Юля" - "Юлька", "Юлечка"."""
    if len(short) < 3 or short[-1] not in "ая" or short.endswith(("ка", "ия")):
        return set()
    stem = short[:-1]
    if short[-1] == "я":
        return {stem + "ька", stem + "ечка", stem + "енька"} if stem[-1] not in "аеиоуыюя" else {stem + "ечка"}
    return {stem + "ка", stem + ("енька" if stem[-1] in _HISSING else "очка"), stem + "онька"}


_POSSESSIVE = ("", "а", "о", "ы", "ой", "у", "ых", "ым", "ыми", "ому", "ого", "ом")


def _possessive(short: str) -> set[str]:
    """As "Катя" - "Катин", "Катиной"."""
    if len(short) < 3 or short[-1] not in "ая" or short.endswith("ия"):
        return set()
    return {f"{short[:-1]}ин{ending}" for ending in _POSSESSIVE}


@cache
def _short_names() -> dict[str, frozenset[str]]:
    """By full name its short names; by short name its full ones, should the portal hold a short one."""
    found: dict[str, set[str]] = {}
    for full, shorts in sections("diminutives").items():
        found.setdefault(full, set()).update(shorts)
        for short in shorts:
            found.setdefault(short, set()).add(full)
    return {name: frozenset(others) for name, others in found.items()}


# --- Latin letters -------------------------------------------------------------------------------------------------


def sound_of_russian(form: str) -> str:
    """What a name in Latin letters comes to, whichever way it was transliterated."""
    return _even(form.translate(_RUSSIAN_SOUNDS))


@lru_cache(maxsize=1 << 14)
def sounds_of_latin(word: str) -> tuple[str, ...]:
    """The same of a word in Latin letters; two readings if it has a bare c."""
    sound = word.lower()
    for letters, one in _LATIN_SOUNDS:
        sound = sound.replace(letters, one)
    if sound.endswith(("off", "of", "eff", "ef")):
        sound = sound.rstrip("f") + "v"
    return tuple({_even(sound.replace("c", "k")), _even(sound.replace("c", "T"))})


def _even(sound: str) -> str:
    for pair, one in (("ia", "a"), ("iu", "u"), ("ie", "e"), ("der", "dr"), ("ter", "tr")):
        sound = sound.replace(pair, one)
    return "".join(letter for at, letter in enumerate(sound) if at == 0 or letter != sound[at - 1])
