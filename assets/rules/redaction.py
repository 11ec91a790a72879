"""Comments without the people in them: everything that says who wrote, or about whom.

Belongs here: the list of employees as the masking knows it, one comment from begin to end, the scan of finished texts.
Does not belong here: forms of names (`names.py`), people and posts in a text (`people.py`, `self_references.py`),
contacts (`contacts.py`), who may see a comment and when (`disclosure.py`).

A name that is also a word ("Вера", "Мороз", "Быстрый") is told from the word where it stands; in doubt it is a name.
What is masked becomes one token whatever its type and length, and the rest loses what shows a hand: case, emoji, runs
of punctuation, kinds of quotes and dashes (privacy research §3.4). Style itself is not removed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

from rapidfuzz import process
from rapidfuzz.distance import OSA

from assets.rules import contacts
from assets.rules.names import (
    key,
    name_forms,
    patronymic_forms,
    sound_of_russian,
    sounds_of_latin,
    surname_forms,
)
from assets.rules.people import ENDS, People
from assets.rules.person_words import (
    CYRILLIC,
    DIGITS,
    LATIN,
    LETTER,
    NAME,
    PARTS_OF_NAMES,
    PATRONYMIC,
    POST,
    RUSSIAN,
    SURNAME,
    WHO,
    WORD,
    Info,
    is_function,
    is_known,
    is_word,
    listed,
    look_at_anybody,
)
from assets.rules.self_references import self_references
from assets.rules.spelling import MASK, even, masked, plain
from assets.rules.text import english, squeeze

REVIEW_SHARE = 0.4
"""Comments masked beyond it are looked at by a person before anybody else sees them (privacy research §3.4)."""
FRESH = timedelta(days=1)
"""An older list of employees misses who came since."""
TYPO_LETTERS = 6
"""Shorter names are too like other words for a letter to be wrong."""
REMEMBERED = 1 << 17
MOST_PASSES = 3
"""What is masked can make a name of a word beside it, so a text is looked at again."""

Net = Callable[[Sequence[str]], list[list[tuple[int, int]]]]
"""A second net: where it finds persons in each of some texts."""


class RedactionError(Exception):
    """Comments cannot be redacted, so none may be published; the message says why."""


@dataclass(frozen=True, slots=True)
class Employee:
    """Somebody whom comments may name, leavers included.

    Attributes:
        id: in the portal.
        surname: nominative; '' if unknown, as are the other parts.
        name: first name, full or short.
        patronymic: '' if none.
        sex: `m`, `f` or '' for unknown.
        login: '' if none; of an e-mail address the part before @ is taken too.
    """

    id: int
    surname: str
    name: str
    patronymic: str = ""
    sex: str = ""
    login: str = ""


@dataclass(frozen=True, slots=True)
class Redaction:
    """A comment as it may be shown.

    Attributes:
        text: identifiers masked, the rest in even spelling.
        masked: kinds of what was masked, a letter each, in the order of the text: P person, Q outsider, E e-mail,
            U link, T telephone, A handle, N task number, R self-reference.
        share: of the comment's characters that were masked, 0 to 1.
        has_self_reference: whether the author spoke of his own post or department.
    """

    text: str
    masked: tuple[str, ...]
    share: float
    has_self_reference: bool

    @property
    def needs_review(self) -> bool:
        """Whether a person must look at it before it is published."""
        return self.has_self_reference or self.share > REVIEW_SHARE


_PLAIN_WORD = re.compile(r"[^\W\d_]+(?:[-.][^\W\d_]+)*")
_LONG_STREETS = "|".join(sorted(word for word in listed("streets") if len(word) > 3))
_SHORT_STREETS = "|".join(
    sorted(word for word in listed("streets") if word == "г" or (word.isalpha() and 1 < len(word) < 4))
)
_FIRMS = "|".join(sorted(listed("firms")))
_THINGS = re.compile(
    rf"(?<!\w)(?:(?:{_LONG_STREETS})[\s«\"]+|(?:{_SHORT_STREETS})\.\s?|(?:{_FIRMS})\s[«\"]?)[\w-]+"
    r"|(?<!\w)(?:в|во|из) владимир\w*"
)
"""Firms, streets and towns that bear a person's name."""
_CONTACT = re.compile(
    r"\w@\w|https?:|www\.|\[/?user|\+7[\s(]*\d{3}|(?<!\d)[78][\s(-]*9\d\d[\s)-]*\d{3}[\s-]*\d\d[\s-]*\d\d(?!\d)"
)
_LOGIN = re.compile(r"(?<![\w.@-])[a-z0-9][\w.-]*\w", re.IGNORECASE)
_SPELT = re.compile(r"(?<![^\W_])(?:[^\W\d_][\W_]{1,3}){3,}[^\W\d_](?![^\W_])")
_QWERTY = str.maketrans("qwertyuiopasdfghjklzxcvbnm", "йцукенгшщзфывапролдячсмить")
_NO_SOUNDS = frozenset({"maks", "min", "lan", "pdf", "lid", "kod", "tim"})


class Redactor:
    """Masks people in comments; one per list of employees.

    Words once looked up are remembered, so a redactor is built once for many comments.
    """

    def __init__(self, employees: Sequence[Employee], departments: Iterable[str] = (), ner: Net | None = None) -> None:
        """Learns the forms of all names.

        Args:
            employees: everybody whom comments may name.
            departments: names of the company's departments; employees who sign with one give themselves away.
            ner: a second net, from `assets.rules.ner.load`.

        Raises:
            RedactionError: nobody in the list has a name.
        """
        self._ner = ner
        self._kinds: dict[str, int] = {}
        self._owners: dict[str, set[int]] = {}
        self._initials: set[str] = set()
        self._logins: set[str] = set()
        self._seen: dict[str, Info] = {}
        for employee in employees:
            self._learn(employee)
        if not self._kinds:
            raise RedactionError(
                "The list of employees is empty, so no comment can be redacted: check that the portal shows its users."
            )
        self._sounds = {
            sound
            for form in self._kinds
            if len(form) > 2 and RUSSIAN.fullmatch(form) and len(sound := sound_of_russian(form)) > 2
        } - _NO_SOUNDS
        self._long = [
            form for form, kinds in self._kinds.items() if len(form) >= TYPO_LETTERS and kinds & (SURNAME | NAME)
        ]
        self._departments = {
            key(word)
            for name in departments
            for word in WORD.findall(name)
            if len(word) > 1 and not is_function(key(word))
        }

    @classmethod
    def build(
        cls,
        employees: Sequence[Employee],
        *,
        seen_on: date,
        today: date,
        departments: Iterable[str] = (),
        ner: Net | None = None,
    ) -> Self:
        """Builds a redactor from a list that is fresh enough to know everybody.

        Args:
            employees: everybody whom comments may name, leavers included.
            seen_on: day on which the portal gave the list.
            today: day of the run.
            departments: names of the company's departments.
            ner: a second net, None for none.

        Raises:
            RedactionError: the list is empty, or older than a day.
        """
        if today - seen_on > FRESH:
            raise RedactionError(
                f"The list of employees is of {seen_on}, more than a day ago: people who came since would stay in the "
                "comments. Read the portal's users first."
            )
        return cls(employees, departments, ner)

    def _learn(self, employee: Employee) -> None:
        parts = (
            (surname_forms(employee.surname.strip(), employee.sex) if employee.surname.strip() else (), SURNAME),
            (name_forms(employee.name.strip()), NAME),
            (patronymic_forms(employee.patronymic.strip(), employee.sex), PATRONYMIC),
        )
        for forms, kind in parts:
            for form in forms:
                if len(form) > 1:
                    self._kinds[form] = self._kinds.get(form, 0) | kind
                    self._owners.setdefault(form, set()).add(employee.id)
        if employee.name.strip() and employee.patronymic.strip():
            self._initials.add(key(employee.name.strip()[0]) + key(employee.patronymic.strip()[0]))
        login = employee.login.strip().lower()
        self._logins |= {part for part in (login, login.partition("@")[0]) if len(part) > 2}

    def redact(self, text: str) -> Redaction:
        """Masks one comment.

        Args:
            text: as written; any string.

        Returns:
            Redacting the result again changes nothing, the second net apart.
        """
        return self.redact_all([text])[0]

    def redact_all(self, texts: Iterable[str]) -> list[Redaction]:
        """Masks comments, each distinct one once.

        Args:
            texts: as written.

        Returns:
            A redaction per text, in their order.
        """
        order = list(texts)
        distinct = list(dict.fromkeys(order))
        bare = [plain(text) for text in distinct]
        extra = self._ner(bare) if self._ner else None
        found = {text: self._redacted(bare[at], extra[at] if extra else []) for at, text in enumerate(distinct)}
        return [found[text] for text in order]

    def _redacted(self, text: str, persons: list[tuple[int, int]]) -> Redaction:
        spans, is_left = self._spans(text)
        spans += [(begin, end, "Q") for begin, end in persons if self._is_credible(text, begin, end)]
        if not spans and MASK not in text:
            return Redaction(even(text), (), 0.0, has_self_reference=False)
        whole = len(text.replace(" ", ""))
        shown, kinds, hidden = masked(text, spans)
        # What is masked can make a name of a word that stands near it.
        for _ in range(MOST_PASSES if is_left else 0):
            more, is_left = self._spans(shown)
            if more:
                shown, found, length = masked(shown, more)
                kinds, hidden = kinds + found, hidden + length
            if not more or not is_left:
                break
        return Redaction(shown, kinds, min(1.0, hidden / max(whole, 1)), "R" in kinds)

    def _is_credible(self, text: str, begin: int, end: int) -> bool:
        """The net takes capitals for names: one ordinary word that begins a sentence is judged here, not there."""
        word = text[begin:end]
        info = self._seen.get(word) or (self._looked_up(word) if WORD.fullmatch(word) else None)
        if info is None or info.outsider or (info.kinds and info.is_sure) or not is_known(info.key):
            return True
        return not (begin == 0 or ENDS.search(text[:begin].rstrip(" ")[-1:]))

    # --- one comment

    def _spans(self, text: str) -> tuple[list[tuple[int, int, str]], bool]:
        """What to mask, and whether anything is left that could be somebody's name in another place."""
        infos: list[Info] = []
        bounds: list[tuple[int, int]] = []
        flags = 0
        seen = self._seen
        for match in WORD.finditer(text):
            raw = match.group()
            info = seen.get(raw) or self._looked_up(raw)
            infos.append(info)
            bounds.append(match.span())
            flags |= info.flags
        spans = contacts.find(
            text,
            addresses=bool(flags & LATIN) or any(mark in text for mark in contacts.MARKS),
            numbers=bool(flags & DIGITS) or "#" in text,
        )
        if flags & LETTER and len(infos) > 3 and _SPELT.search(text):
            spans += self._spelt_out(text)
        if flags & LATIN:
            spans += [(*match.span(), "P") for match in _LOGIN.finditer(text) if match.group().lower() in self._logins]
        named = People(text, infos, bounds, self._initials).spans() if flags & WHO else []
        is_left = bool(spans) or (named and flags & POST) or sum(info.flags & WHO for info in infos) > len(named)
        spans += named
        if flags & POST:
            spans += self_references(text, infos, bounds, spans)
        return spans, bool(is_left)

    def _looked_up(self, raw: str) -> Info:
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        info = self._seen[raw] = Info(raw)
        word = info.key
        if not raw.isalpha() and any(map(str.isdigit, raw)):
            info.flags |= DIGITS
        if word in contacts.WORDS or (raw.isascii() and not raw.isdigit()):
            info.flags |= LATIN
        if len(raw) == 1:
            info.flags |= (WHO if raw.isupper() else 0) | (LETTER if raw.isalpha() else 0)
            return info
        self._find_employee(info)
        if not info.kinds and "-" in word and word not in self._departments:
            self._look_at_parts(info, raw)
        if not info.kinds and RUSSIAN.fullmatch(word):
            look_at_anybody(info)
        info.is_role = not listed("roles").isdisjoint((word, *info.lemmas))
        info.is_department = word in self._departments or not listed("departments").isdisjoint((word, *info.lemmas))
        info.flags |= bool(info.kinds or info.outsider or info.maybe)
        if info.is_role or info.is_department or word == "как":
            info.flags |= POST
        return info

    def _find_employee(self, info: Info) -> None:
        word = info.key
        if word in self._kinds:
            self._take(info, word)
        elif CYRILLIC.search(word):
            if not is_known(word):
                found = self._mistyped(word)
                if found:
                    self._take(info, found)
                    info.is_sure = True
        elif word in self._logins or word.rstrip("0123456789") in self._logins:
            info.kinds, info.is_sure = SURNAME, True
        elif word.isascii() and not word.isdigit():
            letters = word.strip("0123456789")
            is_plain = letters in english() or letters in listed("latin words")
            sounds = sounds_of_latin(letters)
            if (
                not is_plain
                and any(sound in self._sounds and len(sound) > (3 if info.shape == "l" else 2) for sound in sounds)
            ) or (
                letters.translate(_QWERTY) in self._kinds
                and len(letters) > 3
                and not is_word(letters.translate(_QWERTY), 0)
            ):
                info.kinds, info.is_sure = SURNAME, True

    def _take(self, info: Info, form: str) -> None:
        info.kinds = self._kinds[form]
        info.owners = frozenset(self._owners[form])
        info.is_sure = not is_word(form, info.kinds) and (len(form) > 2 or info.shape != "l")

    def _mistyped(self, word: str) -> str:
        """The name that was meant by an unknown word, '' if none."""
        for keep in (2, 1):
            squeezed = squeeze(word, keep)
            if squeezed != word and squeezed in self._kinds and not is_word(squeezed, 0):
                return squeezed
        glued = self._glued(word)
        if glued or len(word) < TYPO_LETTERS:
            return glued
        found = process.extractOne(word, self._long, scorer=OSA.distance, score_cutoff=1)
        return str(found[0]) if found and found[0][0] == word[0] and not is_word(found[0], 0) else ""

    def _glued(self, word: str) -> str:
        """A name run together with another word: "отИванова", "ивановопять"."""
        for at in range(1, len(word) - 1):
            head, tail = word[:at], word[at:]
            for name, rest in ((head, tail), (tail, head)):
                is_name = len(name) > 3 and name in self._kinds and not is_word(name, 0)
                if is_name and (rest in self._kinds or (is_known(rest) and (len(rest) > 3 or is_function(rest)))):
                    return name
        return ""

    def _look_at_parts(self, info: Info, raw: str) -> None:
        """As "Иванов-то", "Орлова-Белова" by a part; a name in a firm's name ("Мария-Ра") is left alone."""
        parts = re.split(r"[-\u2010\u2011'’]", raw)
        infos = [self._seen.get(part) or self._looked_up(part) for part in parts if part]
        named = [part for part in infos if part.kinds and (part.is_sure or info.shape != "l")]
        if not named:
            return
        others = [part for part in infos if not part.kinds and part.key not in PARTS_OF_NAMES]
        if (
            others
            and all(part.kinds == NAME for part in named)
            and any(part.shape != "l" or len(part.raw) < 3 or not is_known(part.key) for part in others)
        ):
            return
        info.kinds = named[0].kinds
        info.owners = named[0].owners
        info.is_sure = any(part.is_sure for part in named)

    def _spelt_out(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Names by letters: "И в а н о в", "и.в.а.н.о.в"."""
        for match in _SPELT.finditer(text):
            letters = [(at, key(letter)) for at, letter in enumerate(match.group(), match.start()) if letter.isalpha()]
            word = "".join(letter for _, letter in letters)
            for begin in range(len(word) - 3):
                for end in range(len(word), begin + 3, -1):
                    if word[begin:end] in self._kinds and not (begin and is_word(word[begin:end], 0)):
                        yield letters[begin][0], letters[end - 1][0] + 1, "P"
                        break

    # --- finished texts

    def leaks(self, text: str) -> bool:
        """Whether a finished text still names somebody: the last look before publication.

        Plainer than the masking, and apart from it: words are compared with forms of names as they stand, with no look
        at what surrounds them, so a mistake there is not repeated here. Names that are words count if two stand side by
        side.

        Args:
            text: masked by `redact`, or made of such texts.
        """
        bare = unicodedata.normalize("NFKC", text).replace(MASK, " ").lower().replace("ё", "е")
        if _CONTACT.search(bare):
            return True
        bare = _THINGS.sub(" ", bare)
        before: tuple[int, int, set[int]] = (0, 0, set())
        for match in _PLAIN_WORD.finditer(bare):
            word = match.group()
            if word in self._logins:
                return True
            kinds, owners = 0, set[int]()
            for part in {word, *re.split(r"[-.]", word)}:
                found = self._kinds.get(part, 0)
                if found and len(part) > 2 and not is_word(part, found):
                    return True
                kinds, owners = kinds | found, owners | self._owners.get(part, set())
            if len(word) > TYPO_LETTERS and not is_known(word) and self._glued(word):
                return True
            end, kinds_before, owners_before = before
            is_pair = kinds_before and kinds and kinds != kinds_before and owners & owners_before
            if is_pair and not bare[end : match.start()].strip():
                return True
            before = (match.end(), kinds, owners)
        return False
