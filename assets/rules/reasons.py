"""Reasons of a lowered score: what the form says, else what the comment complains about.

Belongs here: the reason codes, and how the cues of `lexicon/reasons.txt` are found in a comment and weighed.
Does not belong here: whether a comment explains anything at all (`comments.py`), words and lemmas (`text.py`), the cues
themselves (the list, which a company grows).

A comment costs look-ups only: every distinct word is resolved once to the list's words, stems and classes it stands
for; a cue is tried only when its rarest word is there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules import text
from assets.rules.lexicon import LexiconError, sections

if TYPE_CHECKING:
    from collections.abc import Sequence

FORM, AUTO = "form", "auto"
UNTAGGED = "untagged"
OTHER = "other"

REASONS = {
    "brief": "Неполная или неясная постановка",
    "materials": "Нет материалов или доступов",
    "deadline": "Нереальный или поздний срок",
    "change": "Меняются требования",
    "errors": "Ошибки в данных",
    "communication": "Не отвечает",
    "acceptance": "Нет критериев приёмки",
    "process": "Мимо процесса",
    "wrong_addressee": "Не тому адресату",
    "tone": "Грубый тон",
    "priority": "Приоритеты",
    "duplicate": "Дубли",
    OTHER: "Прочее",
    UNTAGGED: "Не распознано",
}
"""Reason codes in the order they are listed for people, with their Russian titles."""

STRONG = 3.0
"""Weight from which a cue says a reason all by itself."""
_WEIGHTS = {"strong": STRONG, "": 2.0, "hint": 1.0}
LIKELY = 2.0
"""Weight from which a cue is more than a hint."""
_MORE_WORDS = 0.5
"""What each further word of a cue adds: of two cues the longer one knows more."""
_FURTHER = 0.5
"""How much a second cue of the same reason counts: cues of one reason often say the same thing twice."""
_SECOND_REASON = 3.0
"""Weight, from words of its own in a statement of its own, that a second reason needs."""
_SECOND_BESIDE = 4.5
"""The same where both stand in one statement and may be two readings of one thing."""
_WORDS_READ = 120
_SHORTEST_MENDED = 6
"""Letters from which a misspelt word may stand for one of the list; shorter ones have too many neighbours."""

_JOINTS = frozenset(("и", "а", "но", "зато", "да", "еще", "вообще", "and", "but"))
"""Words that start another statement without a comma."""
_NUMBER, _TIME, _QUESTION = "<number>", "<time>", "?"


class Found(NamedTuple):
    """What a comment complains about.

    Attributes:
        tags: reason codes, the weightiest first; empty if no cue fired.
        weight: of the first reason, 0 if there is none; `STRONG` and more is a concrete reason.
        hits: the words of the comment that cues of these reasons rest on, as they stand in it.
    """

    tags: tuple[str, ...]
    weight: float
    hits: frozenset[str]


_NOTHING = Found((), 0.0, frozenset())


@dataclass(frozen=True, slots=True)
class _Cue:
    """One entry of the list.

    Attributes:
        tag: reason code.
        weight: evidence it gives.
        needs: all atoms (words, stems, classes) that must be in the comment.
        clauses: for each clause that is asked for, the phrases that must stand in it.
    """

    tag: str
    weight: float
    needs: frozenset[str]
    clauses: tuple[tuple[tuple[str, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """The list, ready for look-ups.

    Attributes:
        cues: by the atom that calls them.
        words: classes and the word itself, by word of the list.
        stems: the same by beginning of a word.
        shortened: the same for words and stems, by what is left of them when one letter is taken away.
        stem_lengths: lengths that stems have.
    """

    cues: dict[str, tuple[_Cue, ...]]
    words: dict[str, frozenset[str]]
    stems: dict[str, frozenset[str]]
    shortened: dict[str, frozenset[str]]
    stem_lengths: tuple[int, ...]


class _Match(NamedTuple):
    cue: _Cue
    positions: frozenset[int]


@cache
def _lexicon() -> _Lexicon:
    listed = sections("reasons")
    classes = {name: entries for name, entries in listed.items() if name.startswith(("@", "<"))}
    atoms: dict[str, set[str]] = defaultdict(set)
    for name, entries in classes.items():
        for entry in entries:
            atoms[entry].add(name)
    cues = _listed_cues({name: entries for name, entries in listed.items() if name not in classes})
    commonness: Counter[str] = Counter(dict.fromkeys(classes, 1000))
    for cue in cues:
        commonness.update(cue.needs)
        for atom in cue.needs:
            if atom.startswith("@") and atom not in classes:
                raise LexiconError(f"The word list reasons.txt uses the class {atom}, which it does not have.")
            atoms[atom].add(atom)
    called: dict[str, list[_Cue]] = defaultdict(list)
    for cue in cues:
        called[min(sorted(cue.needs), key=lambda atom: commonness[atom])].append(cue)
    words = {atom: frozenset(names) for atom, names in atoms.items() if not atom.endswith("*")}
    stems = {atom[:-1]: frozenset(names) for atom, names in atoms.items() if atom.endswith("*")}
    shortened: dict[str, frozenset[str]] = {}
    for beginning, names in (*words.items(), *stems.items()):
        if len(beginning) >= _SHORTEST_MENDED and beginning.isalpha():
            for short in _one_letter_less(beginning):
                shortened[short] = shortened.get(short, frozenset()) | names
    return _Lexicon(
        cues={atom: tuple(found) for atom, found in called.items()},
        words=words,
        stems=stems,
        shortened=shortened,
        stem_lengths=tuple(sorted({len(stem) for stem in stems})),
    )


def _listed_cues(listed: dict[str, tuple[str, ...]]) -> list[_Cue]:
    found: list[_Cue] = []
    for section, entries in listed.items():
        tag, _, strength = section.partition(" ")
        if tag not in REASONS or strength not in _WEIGHTS:
            raise LexiconError(f"The word list reasons.txt has a section {section} that names no reason and strength.")
        found += [_cue(tag, _WEIGHTS[strength], entry) for entry in entries]
    return found


def _cue(tag: str, weight: float, entry: str) -> _Cue:
    clauses = tuple(
        tuple(tuple(phrase.split()) for phrase in clause.split("+")) for clause in entry.replace("ё", "е").split("&")
    )
    atoms = [atom for clause in clauses for phrase in clause for atom in phrase]
    if not all(phrase for clause in clauses for phrase in clause):
        raise LexiconError(f'The word list reasons.txt has a cue that lacks a word: "{entry}".')
    return _Cue(tag, weight + _MORE_WORDS * (len(atoms) - 1), frozenset(atoms), clauses)


def _one_letter_less(word: str) -> set[str]:
    return {word[:place] + word[place + 1 :] for place in range(len(word))} | {word}


@lru_cache(maxsize=1 << 16)
def _atoms(token: str) -> frozenset[str]:
    """What a word stands for in the list: itself, its stems, their classes."""
    word = text.word(token)
    if word.is_number:
        return frozenset({_NUMBER, token})
    forms = {token, word.text, *word.lemmas}
    found: set[str] = set()
    for form in forms:
        found |= _listed(form)
    if not found and not word.is_known and len(token) >= _SHORTEST_MENDED:
        found |= _mended(token)
    return frozenset(found)


def _mended(token: str) -> set[str]:
    """What a word stands for if one letter of it, or of its beginning, is wrong, missing or too many."""
    shortened = _lexicon().shortened
    found: set[str] = set()
    for length in range(_SHORTEST_MENDED, len(token) + 1):
        for short in _one_letter_less(token[:length]):
            found |= shortened.get(short, frozenset())
    return found


@lru_cache(maxsize=1 << 16)
def _unglued(token: str) -> tuple[str, ...]:
    """A word that no dictionary has and that begins with a negation, in two: "неуказан"."""
    if token.startswith("не") and len(token) > 4 and not text.word(token).is_known and not _listed(token):
        rest = token[2:]
        if text.word(rest).is_known:
            return ("не", rest)
    return (token,)


def _listed(form: str) -> frozenset[str]:
    lexicon = _lexicon()
    found = lexicon.words.get(form, frozenset())
    for length in lexicon.stem_lengths:
        if length > len(form):
            break
        stem = lexicon.stems.get(form[:length])
        if stem is not None:
            found |= stem
    return found


class _Reading:
    """A comment as atoms: where each stands, and where each clause ends."""

    __slots__ = ("clauses", "places", "statements", "tokens")

    def __init__(self, parts: Sequence[str]) -> None:
        self.tokens: list[str] = []
        self.clauses: list[int] = []
        self.statements: list[int] = []
        self.places: dict[str, list[int]] = {}
        clause = statement = 0
        for number, part in enumerate(parts):
            if not part[0].isalnum():
                if part == "?":
                    self._add(part, clause, statement, frozenset({_QUESTION}))
                if not _is_time(parts, number):
                    clause += 1
                    statement += 1
                continue
            if part in _JOINTS:
                statement += 1
            for token in _unglued(part):
                self._add(token, clause, statement, _atoms(token))
            if _is_time(parts, number + 1):
                self.places.setdefault(_TIME, []).append(len(self.tokens) - 1)
            if len(self.tokens) >= _WORDS_READ:
                break

    def _add(self, token: str, clause: int, statement: int, atoms: frozenset[str]) -> None:
        for atom in atoms:
            self.places.setdefault(atom, []).append(len(self.tokens))
        self.tokens.append(token)
        self.clauses.append(clause)
        self.statements.append(statement)

    def match(self, cue: _Cue) -> frozenset[int] | None:
        """The words a cue rests on, None if they do not stand as it asks."""
        taken: set[int] = set()
        for phrases in cue.clauses:
            for start in self.places[phrases[0][0]]:
                found = self._clause(phrases, self.clauses[start])
                if found:
                    taken |= found
                    break
            else:
                return None
        return frozenset(taken)

    def _clause(self, phrases: tuple[tuple[str, ...], ...], clause: int) -> set[int] | None:
        taken: set[int] = set()
        for phrase in phrases:
            found = self._phrase(phrase, clause, taken)
            if not found:
                return None
            taken |= found
        return taken

    def _phrase(self, phrase: tuple[str, ...], clause: int, taken: set[int]) -> set[int] | None:
        for start in self.places[phrase[0]]:
            if self.clauses[start] != clause or start in taken:
                continue
            positions = {start}
            last = start
            for atom in phrase[1:]:
                places = self.places[atom]
                following = last + 1 if last + 1 in places else last + 2
                if following not in places or self.clauses[following] != clause or following in taken:
                    break
                positions.add(following)
                last = following
            else:
                return positions
        return None


def _is_time(parts: Sequence[str], colon: int) -> bool:
    """Whether the colon stands in a time of day such as 17:55."""
    if not 0 < colon < len(parts) - 1 or parts[colon] != ":":
        return False
    hours, minutes = parts[colon - 1], parts[colon + 1]
    return hours.isdigit() and len(hours) <= 2 and minutes.isdigit() and len(minutes) == 2


def _matches(parts: Sequence[str]) -> tuple[_Reading, list[_Match]]:
    reading = _Reading(parts)
    called = _lexicon().cues
    present = frozenset(reading.places)
    found: list[_Match] = []
    for atom in present & called.keys():
        for cue in called[atom]:
            if cue.needs <= present:
                positions = reading.match(cue)
                if positions:
                    found.append(_Match(cue, positions))
    found.sort(key=lambda match: (-match.cue.weight, match.cue.tag, min(match.positions)))
    return reading, found


def cues(parts: Sequence[str]) -> Found:
    """Reasons of a comment, from its words.

    Args:
        parts: from `text.tokens`; a text in the wrong layout or in Latin letters as `text.reading` gives it.

    Returns:
        At most two reasons.
    """
    reading, found = _matches(parts)
    if not found:
        return _NOTHING
    kept = _without_parts(found)
    scores, words = _scores(kept)
    # Of equal reasons the one whose words stand first: people begin with what hurts.
    best = max(scores, key=lambda tag: (scores[tag], -min(words[tag])))
    tags = [best]
    rest = [match for match in kept if match.cue.tag != best and not match.positions & words[best]]
    if rest:
        scores_of_rest, words_of_rest = _scores(rest)
        second = max(scores_of_rest, key=lambda tag: scores_of_rest[tag])
        told = {reading.statements[place] for place in words[best]}
        is_apart = not any(reading.statements[place] in told for place in words_of_rest[second])
        if scores_of_rest[second] >= (_SECOND_REASON if is_apart else _SECOND_BESIDE) and second != OTHER:
            tags.append(second)
            words[best] |= words_of_rest[second]
    return Found(tuple(tags), scores[best], frozenset(reading.tokens[place] for place in words[best]))


def _without_parts(found: list[_Match]) -> list[_Match]:
    """Cues that are not a part of a weightier one."""
    kept: list[_Match] = []
    for match in found:
        if not any(match.positions < other.positions for other in kept if other.cue.weight > match.cue.weight):
            kept.append(match)
    return kept


def _scores(found: list[_Match]) -> tuple[dict[str, float], dict[str, set[int]]]:
    scores: dict[str, float] = {}
    words: dict[str, set[int]] = {}
    for match in found:
        tag = match.cue.tag
        if tag not in scores:
            scores[tag] = match.cue.weight
            words[tag] = set(match.positions)
        elif not match.positions <= words[tag]:
            scores[tag] += match.cue.weight * _FURTHER
            words[tag] |= match.positions
    return scores, words


def tag(comment: str) -> tuple[str, ...]:
    """Reasons of a comment: one, sometimes two codes, none if it says nothing that the list knows."""
    return cues(text.reading(text.normal_form(comment))).tags


def is_listed(token: str) -> bool:
    """Whether some cue knows a word, so that it need not be suggested."""
    return bool(_atoms(token))


@lru_cache(maxsize=1 << 12)
def _from_form(title: str) -> str:
    """Code of what the form's enumeration says; empty if it says nothing."""
    asked = title.strip().casefold()
    for code, known in REASONS.items():
        if asked in (code, known.casefold()):
            return code
    parts = text.reading(text.normal_form(title))
    said = " ".join(part for part in parts if part[0].isalnum())
    if not said or said in _NO_CHOICE:
        return ""
    guessed = cues(parts)
    return guessed.tags[0] if guessed.weight >= LIKELY else OTHER


_NO_CHOICE = frozenset({"нет", "не выбрано", "не выбрана", "не указано", "не указана", "выберите", "none", "no"})


def tag_all(named: pd.Series[str], forms: pd.Series[str], is_low: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Reasons of each low rating: what the form's enumeration says, else what the comment names.

    Args:
        named: codes that the comment names, joined by commas, empty for none (`comments.judge_all`).
        forms: titles chosen in the form, empty for none.
        is_low: whether the score of the row needs a reason; the others get empty codes and source.

    Returns:
        Columns `codes` (joined by commas, `untagged` if nothing is known) and `source` (`form` or `auto`).
    """
    form = np.array([_from_form(title) for title in forms], dtype=object)
    is_formal = form != ""
    codes = np.where(
        is_formal, form, np.where(named.ne("").to_numpy(dtype=bool), named.to_numpy(dtype=object), UNTAGGED)
    )
    source = np.where(is_formal, FORM, AUTO)
    return pd.DataFrame(
        {"codes": np.where(is_low, codes, ""), "source": np.where(is_low, source, "")}, index=named.index
    )
