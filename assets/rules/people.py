"""People in one comment, told from words by what stands beside them.

Belongs here: which words of a text name somebody. Does not belong here: what one word may be (`person_words.py`),
posts and departments (`self_references.py`).
"""

from __future__ import annotations

import re

from assets.rules.names import key
from assets.rules.person_words import NAME, RUSSIAN, SURNAME, WHO, Info, beginnings, is_known, listed

_CLAUSE = re.compile(r"[.,;:!?()\n\"«»]|\s-\s|\s[–—]\s")
ENDS = re.compile(r"[.!?:;\n(\"«»„“…\]]|\s[-–—]\s|^\s*[-–—•*]+\s*$")
_ACCOUNT_BEFORE = re.compile(r"[a-z0-9][\w.-]*$", re.IGNORECASE | re.ASCII)
_ACCOUNT_AFTER = re.compile(r"[\w-]*(?:\.[\w-]+)*", re.ASCII)
_BESIDE = re.compile(r"[\s.]{0,3}|\s?-\s?")
_OF = frozenset({"у", "от", "к", "ко", "с", "со", "для", "за", "через", "на", "перед", "про", "о", "об"})


class People:
    """People in one comment."""

    def __init__(self, text: str, infos: list[Info], bounds: list[tuple[int, int]], initials: set[str]) -> None:
        self._text, self._infos, self._bounds, self._pairs = text, infos, bounds, initials
        self._is_shouting = not any(info.shape == "l" and len(info.raw) > 1 and info.raw[0].isalpha() for info in infos)

    def spans(self) -> list[tuple[int, int, str]]:
        """Begin, end and kind of what names somebody."""
        infos = self._infos
        kinds = [""] * len(infos)
        candidates = [at for at, info in enumerate(infos) if info.flags & WHO or info.shape == "C"]
        blocked = {at for at in candidates if infos[at].flags & WHO and self._is_thing(at)}
        for at in candidates:
            if at in blocked:
                continue
            info = infos[at]
            if info.kinds:
                if info.is_sure or self._is_meant(at):
                    kinds[at] = "P"
            elif self._is_adjective_of_place(at):
                continue
            elif info.outsider or (info.shape == "C" and self._is_anybody(at)):
                kinds[at] = "Q"
        # There and back: a name makes names of the words on both its sides.
        for at in (*candidates, *reversed(candidates)) if len(infos) > 1 else ():
            if not kinds[at] and at not in blocked:
                kinds[at] = self._beside(at, kinds)
        for at in range(len(infos)):
            if not kinds[at] and self._is_surname_of_a_neighbour(at, kinds):
                kinds[at] = "Q"
        if any(len(info.raw) == 1 for info in infos):
            self._mark_initials(kinds)
        return [(*self._whole(at), kind) for at, kind in enumerate(kinds) if kind]

    def _whole(self, at: int) -> tuple[int, int]:
        """A word; of one in Latin letters the account that it is a part of: "i.ivanov"."""
        begin, end = self._bounds[at]
        if self._is_initial(at):
            return begin, end + self._text.startswith(".", end)
        if not self._infos[at].raw.isascii():
            return begin, end
        head = _ACCOUNT_BEFORE.search(self._text, 0, begin)
        tail = _ACCOUNT_AFTER.match(self._text, end)
        return head.start() if head else begin, tail.end() if tail else end

    def _gap(self, at: int) -> str:
        """What stands before a word."""
        begin = self._bounds[at - 1][1] if at else 0
        return self._text[begin : self._bounds[at][0]]

    def _next_gap(self, at: int) -> str:
        return self._gap(at + 1) if at + 1 < len(self._infos) else self._text[self._bounds[at][1] :]

    def _is_first(self, at: int) -> bool:
        gap = self._gap(at)
        return at == 0 or (bool(ENDS.search(gap)) and not (self._is_initial(at - 1) and gap.strip() == "."))

    def _is_thing(self, at: int) -> bool:
        """A firm, a street or a town named after somebody."""
        info, gap, after = self._infos[at], self._gap(at), self._next_gap(at)
        if not at:
            return False
        before = self._infos[at - 1]
        word = before.key
        is_word = info.kinds in {0, NAME} or not info.is_sure
        if gap.rstrip().endswith(("«", '"', "„", "“")) and after.lstrip().startswith(("»", '"', "“", "”")) and is_word:
            return True
        if before.kinds or before.outsider:
            return False
        if word in listed("streets") and (len(word) > 3 or "." in gap) and not re.search(r"[,;!?]", gap):
            # "г. Орлов" is a town, "Г. Орлов" is somebody.
            return len(word) > 1 or (word == "г" and before.raw.islower() and info.has("Geox"))
        if word in listed("firms") and not gap.strip(' «"„') and is_word:
            return info.has("nomn") or not is_known(info.key) or bool(gap.strip())
        is_town = info.has("Geox") and (not info.has("Name") or info.key.startswith("владимир"))
        if word in listed("place prepositions") and gap.isspace() and is_town:
            return info.has("Geox", "gent" if word == "из" else "accs") or info.has("Geox", "loct")
        return False

    def _is_adjective_of_place(self, at: int) -> bool:
        """As "Новиковский карьер"."""
        after = self._infos[at + 1] if at + 1 < len(self._infos) else None
        is_adjective = _ADJECTIVE.search(self._infos[at].key)
        return bool(is_adjective) and after is not None and after.shape == "l" and after.has_common("NOUN")

    def _is_anybody(self, at: int) -> bool:
        """A capitalised word that may be a name, amid a sentence or after "клиент", "директор" and the like."""
        info = self._infos[at]
        if self._is_shouting or not at or len(info.key) < 3 or not RUSSIAN.fullmatch(info.key):
            return False
        if info.maybe and not self._is_first(at) and (info.has("Name") or not info.has("Geox")):
            return True
        before = self._infos[at - 1]
        is_told = before.shape != "U" and before.key.startswith(beginnings("person before")) and self._gap(at).isspace()
        return is_told and (bool(info.maybe) or not is_known(info.key))

    # --- names that are words

    def _is_meant(self, at: int) -> bool:
        """Whether a name that is also a word is meant as a name."""
        info = self._infos[at]
        if info.shape == "l":
            return self._is_meant_in_lower_case(at)
        if not self._is_shouting and not self._is_first(at):
            return True
        if self._is_shouting and not self._is_first(at) and _CLAUSE.match(self._next_gap(at).lstrip()):
            before = self._infos[at - 1]
            if before.key in _OF or before.is_act():
                return True
        if not self._is_shouting and info.shape == "U" and len(info.raw) > 2:
            return True
        return self._is_meant_at_a_beginning(at)

    def _acts(self, at: int) -> bool:
        """Whether somebody does something in the clause of a word."""
        return any(info.is_act("sing") for _, info in self._clause(at))

    def _clause(self, at: int) -> list[tuple[int, Info]]:
        first = at
        while first and not _CLAUSE.search(self._gap(first)):
            first -= 1
        last = at
        while last + 1 < len(self._infos) and not _CLAUSE.search(self._gap(last + 1)):
            last += 1
        return [(place, self._infos[place]) for place in range(first, last + 1) if place != at]

    def _is_meant_in_lower_case(self, at: int) -> bool:
        infos, info = self._infos, self._infos[at]
        before = infos[at - 1].key if at and not _CLAUSE.search(self._gap(at)) else ""
        after = infos[at + 1] if at + 1 < len(infos) and not _CLAUSE.search(self._next_gap(at)) else None
        if len(info.key) < 3:
            return False
        if before in {"словам", "слов"}:
            return True
        is_adjective = info.has("ADJF") and not info.has("NOUN", "anim")
        if is_adjective:
            while after is not None and after.key in listed("adverbs") and at + 2 < len(infos):
                at, after = at + 1, infos[at + 2]
            return after is not None and (after.is_act("sing") or (before == "у" and not after.has("NOUN")))
        if before == "у" and info.has("gent"):
            return after is None or not after.has("NOUN", "gent")
        if info.has_common("NOUN", "anim") and not info.has("NOUN", "inan") and before in _OF:
            return True
        if not self._gap(at).strip() and not at and "," in self._next_gap(at):
            return at + 1 < len(infos) and (
                infos[at + 1].has("impr") or infos[at + 1].key in {"пожалуйста", "добрый", "спасибо"}
            )
        clause = self._clause(at)
        if before in {"в", "во", "на", "о", "об", "по", "из", "без", "за", "с", "со", "под", "про", "до"}:
            return False
        if info.has("nomn"):
            near = [other for place, other in clause if 0 < place - at < 5]
            return any(other.is_act("sing") and not other.has("VERB", "impr") for other in near)
        return info.has("datv") and any(other.is_act() for place, other in clause if 0 < at - place < 3)

    def _is_meant_at_a_beginning(self, at: int) -> bool:  # noqa: C901 - one question after another
        infos, info = self._infos, self._infos[at]
        is_adjective = info.has("ADJF") and not info.has("Name")
        if at + 1 == len(infos):
            return not is_adjective
        after, gap = infos[at + 1], self._next_gap(at)
        if _CLAUSE.search(gap):
            return not is_adjective
        if after.kinds or after.outsider:
            return not is_adjective or after.shape != "l"
        if len(info.key) < 3 and info.has("CONJ"):
            return self._acts(at)
        if is_adjective:
            return (
                not (after.has("NOUN") or after.has("ADJF") or after.has("CONJ") or after.has("PREP")) or after.is_act()
            )
        if after.key.isdigit():
            return self._acts(at)
        if after.key in listed("verbs of being") and info.has_common("inan"):
            if _CLAUSE.search(self._next_gap(at + 1)):
                return False
            is_place = at + 3 < len(infos) and infos[at + 2].key in {"на", "в", "во"}
            return not is_place or infos[at + 3].has("loct")
        if after.key == "нет" and info.has_common("gent") and not info.has("Name", "gent"):
            return False
        if after.key in listed("adverbs"):
            return True
        if after.has("VERB") or after.has("PRED"):
            return True
        if after.has("PREP"):
            place = infos[at + 2] if at + 2 < len(infos) else None
            if place is not None and place.key in listed("days"):
                return True
            return after.key in {"из", "от"} or self._acts(at)
        if after.key == "и":
            second = infos[at + 2] if at + 2 < len(infos) else None
            return self._acts(at) or (second is not None and bool(second.kinds or second.outsider))
        if after.has_common("NOUN") and not after.has_common("NOUN", "nomn"):
            return self._acts(at)
        if after.has("ADJF") and not after.has("Apro"):
            return self._acts(at)
        return True

    # --- names beside names

    def _beside(self, at: int, kinds: list[str]) -> str:
        info = self._infos[at]
        if not info.flags & WHO:
            return kinds[at - 1] if at and kinds[at - 1] and self._follows_a_name(at) else ""
        for other in (at - 1, at + 1):
            if not 0 <= other < len(self._infos):
                continue
            near = self._infos[other]
            gap = self._gap(max(at, other))
            if not near.flags & WHO or not _BESIDE.fullmatch(gap) or "." in gap:
                continue
            if kinds[other] and info.shape != "l" and not self._is_first(max(at, other)):
                return kinds[other]
            is_pair = (info.kinds | near.kinds).bit_count() > 1 and info.owners & near.owners
            if is_pair and (kinds[other] or info.kinds != near.kinds):
                return "P"
            if info.shape == "l" and kinds[other] == "Q" and near.maybe and info.maybe and info.maybe != near.maybe:
                return "Q"
            both = info.maybe | near.maybe
            if (
                info.shape == near.shape == "C"
                and info.maybe
                and near.maybe
                and both.bit_count() > 1
                and info.maybe != near.maybe
            ):
                return "Q"
        return ""

    def _is_surname_of_a_neighbour(self, at: int, kinds: list[str]) -> bool:
        """A word of no other meaning right beside somebody's first name, in any spelling ("перебейносу тарасу")."""
        info = self._infos[at]
        is_odd = not is_known(info.key) or bool(info.maybe & SURNAME) or bool(_ADJECTIVE.search(info.key))
        if not is_odd or len(info.key) < 4 or not RUSSIAN.fullmatch(info.key):
            return False
        return any(
            0 <= other < len(self._infos)
            and bool(kinds[other])
            and bool((self._infos[other].kinds | self._infos[other].maybe) & NAME)
            and self._gap(max(at, other)) == " "
            for other in (at - 1, at + 1)
        )

    def _follows_a_name(self, at: int) -> bool:
        """A capitalised word after a first name is a surname, whatever else it may be ("Аркадий Сомов")."""
        before, info = self._infos[at - 1], self._infos[at]
        is_name = (before.kinds | before.maybe) & NAME
        return bool(is_name) and self._gap(at) == " " and not self._is_shouting and bool(RUSSIAN.fullmatch(info.key))

    # --- initials

    def _is_initial(self, at: int) -> bool:
        """One capital letter; in lower case one with its dot beside a surname, or of two that are somebody's."""
        info, (begin, end) = self._infos[at], self._bounds[at]
        if len(info.raw) != 1 or not info.raw.isalpha():
            return False
        if info.shape == "C":
            return True
        if not self._text.startswith(".", end):
            return False
        first = _INITIALS.match(self._text, begin)
        last = _LAST_INITIALS.search(self._text, max(0, begin - 4), end + 1)
        pairs = [key("".join(found.groups())) for found in (first, last) if found]
        if any(pair in self._pairs and pair not in _NO_INITIALS for pair in pairs):
            return True
        after = self._infos[at + 1] if at + 1 < len(self._infos) and self._next_gap(at) in {".", ". "} else None
        return after is not None and bool(after.kinds & SURNAME) and (after.is_sure or info.key not in _ABBREVIATED)

    def _mark_initials(self, kinds: list[str]) -> None:
        infos = self._infos
        at = 0
        while at < len(infos):
            if not self._is_initial(at):
                at += 1
                continue
            last = at
            while (
                last + 1 < len(infos)
                and last - at < 1
                and self._is_initial(last + 1)
                and self._gap(last + 1).strip(" ") in {"", "."}
            ):
                last += 1
            self._mark_run(at, last, kinds)
            at = last + 1

    def _mark_run(self, first: int, last: int, kinds: list[str]) -> None:
        infos = self._infos
        is_dotted = self._next_gap(first).startswith(".") and self._next_gap(last).startswith(".")
        left = first - 1 if first and self._gap(first).strip(" ") in {"", ","} else -1
        right = last + 1 if last + 1 < len(infos) and self._next_gap(last).strip(" ") in {"", "."} else -1
        is_pair = last > first
        for side in (left, right):
            if side < 0 or len(infos[side].raw) < 2:
                continue
            info = infos[side]
            is_named = bool(kinds[side]) and (is_dotted or side == left or is_pair)
            is_surname = info.kinds & SURNAME and is_dotted
            is_name = (info.shape != "l" or is_surname) and (
                info.kinds or info.maybe or (is_pair and self._may_be_surname(info))
            )
            if not is_named and is_dotted and is_name and (side == right or is_pair) and not self._is_thing(side):
                kinds[side] = "P" if info.kinds else "Q"
                is_named = True
            if is_named and "," not in self._gap(first)[:1] * (side == left):
                for place in range(first, last + 1):
                    kinds[place] = kinds[side]
                return
        if (
            is_pair
            and is_dotted
            and infos[first].key + infos[last].key in self._pairs
            and infos[first].key + infos[last].key not in _NO_INITIALS
        ):
            kinds[first] = kinds[last] = "P"

    def _may_be_surname(self, info: Info) -> bool:
        return (
            bool(RUSSIAN.fullmatch(info.key))
            and len(info.key) > 2
            and (not is_known(info.key) or bool(info.maybe) or (info.has("NOUN", "nomn") and info.shape == "C"))
        )


_INITIALS = re.compile(r"(\w)\. ?(\w)\.")
_LAST_INITIALS = re.compile(r"(?<!\w)(\w)\. ?(\w)\.$")
_ADJECTIVE = re.compile(r"[сц]к(?:ий|ая|ое|ие|ого|ой|ому|им|ом|ую|их|ими)$")
_ABBREVIATED = frozenset("гстпдк")
_NO_INITIALS = frozenset({"ио", "тз", "тд", "тп", "тк", "пс"})
