"""Where the author of a comment tells his post or department: "я как бухгалтер", "у нас в логистике", a signature.

Belongs here: turns of phrase. Does not belong here: names (`people.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assets.rules.person_words import Info, listed
from assets.rules.spelling import MASK

_PRONOUNS = frozenset(["я", "мне", "меня", "мной", "мною", "мы", "нам", "нас", "нами"])
_OWN = re.compile(r"наш(?:|а|е|и|его|ей|ему|им|ем|их|ими|у|ею)|мо(?:й|я|е|и|его|ей|ему|им|ем|их|ими|ю|ею)")
_INTO = frozenset(["в", "во", "на", "из", "с", "со", "от", "для", "к", "ко", "по"])
_MANNERS = (
    ("в", "качестве"),
    ("в", "роли"),
    ("от", "лица"),
    ("от", "имени"),
    ("с", "позиции"),
    ("на", "правах"),
    ("с", "должности"),
)
_SIGNED = re.compile(r"(?:подпись|уважением|ваша?|ваш[еи]|[-–—(\n.!])\W*$", re.IGNORECASE)
_LONGEST_POST = 4
"""Words after "отдел" or "руководитель" that say which."""


def self_references(
    text: str, infos: list[Info], bounds: list[tuple[int, int]], people: list[tuple[int, int, str]]
) -> Iterator[tuple[int, int, str]]:
    """Where the author tells his post or department: "я как бухгалтер", "у нас в логистике", a signature."""
    gaps = [text[bounds[at - 1][1] if at else 0 : bounds[at][0]] for at in range(len(infos))]
    for at, info in enumerate(infos):
        is_post = info.is_role or info.is_department
        is_called = (
            at > 0
            and infos[at - 1].key == "как"
            and info.has("NOUN", "anim")
            and listed("vague roles").isdisjoint((info.key, *info.lemmas))
        )
        if not (is_post or is_called) or (info.kinds and info.is_sure):
            continue
        first = _begin_of_post(infos, gaps, at)
        begin = _begin_of_reference(infos, gaps, first, at)
        last = _end_of_post(infos, gaps, at)
        if begin < 0 and info.has("nomn") and _is_signature(text, bounds, people, first, last):
            begin = first
        if begin >= 0:
            yield bounds[begin][0], bounds[last][1], "R"


def _begin_of_post(infos: list[Info], gaps: list[str], at: int) -> int:
    """The first of the adjectives and other posts before a post: "главный бухгалтер", "нашего юридического отдела"."""
    while (
        at
        and gaps[at] in {" ", "-", " - "}
        and (
            infos[at - 1].has("ADJF")
            or infos[at - 1].is_role
            or (infos[at - 1].is_department and infos[at].is_department)
        )
    ):
        at -= 1
    return at


def _begin_of_reference(infos: list[Info], gaps: list[str], first: int, at: int) -> int:  # noqa: C901
    """Where the reference begins whose post stands at `first` to `at`; -1 if the author speaks of somebody else's."""
    post = infos[at]
    for place in range(first, at):
        if _OWN.fullmatch(infos[place].key) and (post.is_department or infos[place].key.startswith("мо")):
            return place
    if not first or not re.fullmatch(r"[\s,:(\u2013\u2014-]+", gaps[first]):
        return -1
    before = infos[first - 1].key
    if before == "как":
        if first > 1 and infos[first - 2].key in _PRONOUNS and not re.search(r"[.!?]", gaps[first - 1]):
            return first - 2
        is_start = first == 1 or not gaps[first - 1].isspace()
        return first - 1 if is_start and post.has("nomn") else -1
    if before in listed("being"):
        return first - 2 if first > 1 and infos[first - 2].key in _PRONOUNS else first - 1
    if first > 1 and (infos[first - 2].key, before) in _MANNERS:
        return first - 2
    if before in {"я", "мы"} and post.has("nomn"):
        return first - 1
    if before in {"должность", "профессия", "специальность"} and first > 1 and _OWN.fullmatch(infos[first - 2].key):
        return first - 2
    if before == "это" and post.is_department and post.has("nomn"):
        return first - 1
    if not post.is_department or before not in _INTO or first < 2 or not gaps[first].isspace():
        return -1
    place = first - 2
    while (
        place > 0
        and infos[place].key in listed("between")
        and gaps[place].isspace()
        and infos[place].key not in listed("being")
    ):
        place -= 1
    said = infos[place].key
    if said in listed("being") | listed("writing") and said != "это":
        return place - 1 if place and infos[place - 1].key in _PRONOUNS else place
    if said not in _PRONOUNS:
        return -1
    if said in {"я", "мы"} and before in {"в", "во", "на"} and not post.has("loct"):
        return -1
    return place - 1 if place and infos[place - 1].key in {"у", "к", "для", "от", "из", "с", "до"} else place


def _end_of_post(infos: list[Info], gaps: list[str], at: int) -> int:
    """The last word of a post: "отдел кадров", "менеджер по работе с клиентами", "цех № 3"."""
    last = at
    is_head = infos[at].is_role or not listed("generic departments").isdisjoint((infos[at].key, *infos[at].lemmas))
    for place in range(at + 1, min(len(infos), at + 1 + _LONGEST_POST)):
        info = infos[place]
        if gaps[place] not in {" ", "-"} and not (is_head and gaps[place].strip() in {"№", '"', "«"}):
            break
        if (
            info.is_department
            or (is_head and (info.is_role or info.key.isdigit() or (info.shape == "U" and place == last + 1)))
            or (is_head and not info.has("VERB") and (info.has("NOUN", "gent") or info.has("ADJF", "gent")))
        ):
            last = place
        elif is_head and info.key == "по" and place + 1 < len(infos) and infos[place + 1].has("datv"):
            last = place + 1
        else:
            break
    end = last
    while end + 1 < len(infos) and gaps[end + 1] == " ":
        end += 1
    rest = infos[last + 1 : end + 1]
    if len(rest) <= _LONGEST_POST and not any(
        info.has("VERB") or info.has("INFN") or info.has("PRTS") for info in rest
    ):
        # "Нас в лаборатории двое", "я в отделе кадров одна".
        last = end
    if end == last and end + 1 < len(infos) and infos[end + 1].key.startswith("единственн"):
        last = end + 1
        while last + 1 < len(infos) and gaps[last + 1] == " ":
            last += 1
    return last


def _is_signature(
    text: str, bounds: list[tuple[int, int]], people: list[tuple[int, int, str]], first: int, last: int
) -> bool:
    """Whether a post ends the comment like the last line of a letter."""
    if text[bounds[last][1] :].strip(" .!)("):
        return False
    before = text[: bounds[first][0]]
    if _SIGNED.search(before) or before.rstrip(" ,.").endswith(MASK):
        return True
    end = max((stop for _, stop, kind in people if kind in "PQ" and stop <= bounds[first][0]), default=-1)
    return end >= 0 and not text[end : bounds[first][0]].strip(" ,.;:")
