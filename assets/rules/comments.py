"""Comment rules: does a lowered score say why.

Belongs here: the rules, their order, and the hints people get. Does not belong here: normal form and words
(`text.py`), what a comment complains about (`reasons.py`), whether a score needs a comment (`structure.py` knows the
threshold).

A rule never asks for length: "хамит" is a reason, "оценка снижена по объективным причинам" is none. A comment is a
violation when nothing in it is about the work, and weak when it speaks about the work and names no reason. Where a
comment names one, nothing else in it matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from rapidfuzz import fuzz, process

from assets.rules import reasons
from assets.rules.text import normal_form, reading, squeeze, tokens, word
from assets.rules.wording import (
    BAD,
    CORE,
    ELSEWHERE,
    FEWEST_LETTERS,
    FILLER,
    FORM,
    GOOD,
    GRADE,
    LEISURE,
    MARKERS,
    PRINCIPLE,
    REFUSAL,
    SCORE,
    SCORING,
    STATEMENTS,
    TEST,
    TOPIC,
    Term,
    is_verdict,
    listed,
    phrases,
    places,
    term,
)

RULESET_VERSION = "1"
"""Goes up with every change of a rule or a list that can change a verdict."""

OK, WEAK, VIOLATION, INFO = "ok", "weak", "violation", "info"

THRESHOLD = 5
"""Scores below it must say why, unless a process says otherwise."""
SAME_WORDS, MOST_TOGETHER, MOST_SCORES = 3, 4, 3
"""One word that often is a repeat; so many placeholders, or heavy words, or numbers may make one dodge."""
CERTAIN = 3.5
"""Weight of cues from which a reason stands whatever the words are that it is said in."""
TITLE_LIKENESS = 88
"""Per cent, of rapidfuzz's ratio; from there on a comment is a copy of the task's title (domain research §2.2)."""
WORDY = 6
"""Words from which a likely cue is a reason: dodges are shorter, or about the form."""
COPY_LIKENESS = 90
"""Per cent; distinct real reasons are that alike in none of 75 466 pairs (domain research §2.3)."""
COPY_DAYS, COPY_TIMES, COPY_RATEES = 90, 3, 2
"""A text is pasted when one rater gives it this often within so many days to at least so many people."""


@dataclass(frozen=True)
class Rule:
    """One comment rule as people see it.

    Attributes:
        code: name in the warehouse.
        severity: `violation` makes a low score unexplained, `weak` asks for more, `info` changes nothing.
        title: short Russian name for charts.
        hint: one Russian sentence for the rater: how to do it better.
    """

    code: str
    severity: str
    title: str
    hint: str


RULES = {
    rule.code: rule
    for rule in (
        Rule("empty", VIOLATION, "Пусто", "Напишите, чего не хватило в постановке задачи: достаточно двух-трёх слов."),
        Rule("no_letters", VIOLATION, "Нет слов", "Знаки, цифры и смайлы причину не называют: напишите её словами."),
        Rule("too_short", VIOLATION, "Слишком коротко", "Из одной-двух букв причину не понять: напишите её словами."),
        Rule(
            "placeholder",
            VIOLATION,
            "Отписка",
            "Напишите, что именно помешало: «нет макета», «срок вчера», «не отвечает».",
        ),
        Rule("repeat_char", VIOLATION, "Повтор букв", "Повтор букв причину не называет: напишите, что было не так."),
        Rule(
            "repeat_word",
            VIOLATION,
            "Повтор слова",
            "Повтор одного слова причину не называет: напишите, что было не так.",
        ),
        Rule("mash", VIOLATION, "Набор букв", "Это случайный набор букв: напишите, что было не так в постановке."),
        Rule("score_echo", VIOLATION, "Повтор оценки", "Оценку видно и так: напишите, за что она снижена."),
        Rule(
            "padding",
            VIOLATION,
            "Текст ради поля",
            "Поле нужно не для формы: напишите коллеге, что исправить в следующий раз.",
        ),
        Rule(
            "refusal",
            VIOLATION,
            "Отказ пояснить",
            "Назовите причину: хватит одного-двух слов.",
        ),
        Rule(
            "off_topic",
            VIOLATION,
            "Не о задаче",
            "Напишите о самой задаче: чего не хватило, что пришлось переделывать.",
        ),
        Rule(
            "title_copy",
            VIOLATION,
            "Название задачи",
            "Название задачи и так известно: напишите, что с ней было не так.",
        ),
        Rule("no_content", VIOLATION, "Нет содержания", "Закончите мысль: назовите, что именно было не так."),
        Rule("profanity_only", VIOLATION, "Только брань", "Назовите причину без брани: что именно было не так."),
        Rule(
            "no_reason",
            WEAK,
            "Оценка без причины",
            "Уточните, что именно не понравилось: сроки, материалы, описание, ответы?",
        ),
        Rule(
            "topic_only",
            WEAK,
            "Только тема",
            "Тема понятна; допишите, что с ней не так: чего не было, что изменилось, где ошибка.",
        ),
        Rule(
            "contradiction",
            WEAK,
            "Похвала при сниженной оценке",
            "В тексте похвала, а оценка снижена: напишите, чего не хватило до пятёрки.",
        ),
        Rule("single_word", WEAK, "Одно слово", "Уточните: что именно было не так?"),
        Rule("unknown_words", WEAK, "Непонятные слова", "Слова не распознаны: напишите причину проще, без сокращений."),
        Rule(
            "copy_paste",
            WEAK,
            "Один текст всем",
            "Тот же текст стоит у других коллег: напишите, что было не так именно здесь.",
        ),
        Rule(
            "complaint_on_five",
            INFO,
            "Пятёрка с замечанием",
            "Оценка высшая, а в тексте замечание: проверьте, та ли оценка выбрана.",
        ),
        Rule("profanity", INFO, "Брань", "Причина понятна; в следующий раз обойдитесь без брани."),
    )
}
"""By code, in the order in which they are looked for."""


@dataclass(frozen=True)
class Verdict:
    """What the rules say of one comment.

    Attributes:
        level: `ok`, `weak` or `violation`.
        codes: rules that fired, the one that decided first.
        reasons: codes of what the comment complains about; none for a violation.
    """

    level: str
    codes: tuple[str, ...]
    reasons: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """What the rater can do better; empty if nothing."""
        return RULES[self.codes[0]].hint if self.codes else ""


# --- one comment ---------------------------------------------------------------------------------------------------


class _Comment:
    """A comment taken apart.

    Attributes:
        content: words and numbers.
        spoken: words.
        heavy: words that are more than function words.
        named: of them those that some list knows.
        unnamed: the others, swear words apart.
        numbers: how many numbers there are.
        key: the words, joined by spaces.
        found: cues of reasons.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.content = [term(part) for part in parts if part[0].isalnum()]
        self.spoken = [item for item in self.content if not item.word.is_number]
        self.heavy = [item for item in self.spoken if item.classes or not item.word.is_function]
        self.named = [item for item in self.heavy if item.classes]
        self.unnamed = [item for item in self.heavy if not item.is_listed]
        self.numbers = len(self.content) - len(self.spoken)
        self.key = " ".join(item.word.text for item in self.spoken)
        self.found = reasons.cues(parts)

    def has(self, classes: int) -> bool:
        """Whether any word belongs to one of some classes."""
        return any(item.classes & classes for item in self.named)

    def is_all(self, classes: int) -> bool:
        """Whether every word that a list knows belongs to one of some classes."""
        return all(item.classes & classes for item in self.named)


def judge(text: str, *, is_low: bool = True, title: str = "") -> Verdict:
    """Judges one comment.

    Args:
        text: as written; any string.
        is_low: whether the score is below the threshold, so that the comment must explain it.
        title: of the linked task, '' if unknown.

    Returns:
        Comments that need not explain anything are `ok`, whatever they say or leave out; only info rules look at them.
    """
    normal = normal_form(text)
    if not normal:
        return Verdict(VIOLATION, ("empty",)) if is_low else Verdict(OK, ())
    comment = _Comment(reading(normal))
    names_reason = _names_a_reason(comment)
    info = ("profanity",) if any(item.is_swearing for item in comment.spoken) else ()
    if not is_low:
        # Praise names the same things as complaints; only what it denies tells them apart.
        denies = not comment.found.hits.isdisjoint({"не", *listed("denials")})
        complains = names_reason and denies and not comment.has(GOOD)
        return Verdict(OK, (*(("complaint_on_five",) if complains else ()), *info))
    code = _broken(comment, title, names_reason=names_reason)
    if not code:
        return Verdict(OK, info, comment.found.tags)
    # Of a comment that names no reason a hint is more often wrong than right: 42 of 42 in the labelled sets.
    is_told = RULES[code].severity == WEAK and comment.found.weight >= reasons.LIKELY
    tags = comment.found.tags if is_told else ()
    return Verdict(RULES[code].severity, (code, *(info if code != "profanity_only" else ())), tags)


def _broken(comment: _Comment, title: str, *, names_reason: bool) -> str:
    """The first rule that a comment breaks, '' if none.

    What a comment is (no words, a repeat, a placeholder, the title, a known turn) is looked at before what it may
    complain about; what its words are about only decides where no reason was found.
    """
    if not comment.spoken:
        return "no_letters"
    is_placeholder = comment.key in phrases("placeholders")
    repeat = "" if is_placeholder else _repeat(comment)
    if repeat:
        return repeat
    if len(comment.key.replace(" ", "")) < FEWEST_LETTERS and not (comment.has(TOPIC) and len(comment.spoken) == 1):
        return "placeholder" if is_placeholder else "too_short"
    if comment.numbers and not comment.unnamed and _echoes_the_score(comment):
        return "score_echo"
    if _is_placeholder(comment):
        return "placeholder"
    is_denial = names_reason and not listed("denials").isdisjoint(comment.key.split())
    if title and not is_denial and _is_title(comment, title):
        return "title_copy"
    turn = _turn(comment, names_reason=names_reason)
    if turn:
        return turn
    if is_verdict(comment.key):
        return "no_reason"
    return "" if names_reason else _without_reason(comment)


# --- what is a reason ----------------------------------------------------------------------------------------------


def _names_a_reason(comment: _Comment) -> bool:
    """Whether cues of a reason rest on more than words that any dodge has."""
    content, weight = comment.content, comment.found.weight
    is_denied = any(item.word.text in listed("denials") for item in content)
    if is_denied and any(item.classes & TOPIC and not item.classes & (MARKERS | GOOD | BAD) for item in content):
        # "договора нет", "без тз", "0 вложений".
        return True
    if any(item.word.is_number and len(item.word.text) > 1 for item in content) and any(
        item.tells_of_others for item in content
    ):
        # "прислал в 17:55", "было 10 позиций, стало 60".
        return True
    if weight < reasons.LIKELY:
        return False
    is_neither = sum(item.word.text == "ни" for item in content) > 1
    is_about_scoring = any(item.classes & PRINCIPLE or item.is_about_form for item in content)
    if is_neither or (len(content) >= WORDY and not is_about_scoring):
        return True
    hits = [item for item in content if item.word.text in comment.found.hits]
    if weight >= reasons.STRONG and any(item.is_solid for item in hits):
        return True
    if weight >= CERTAIN:
        return any(item.tells_of_others for item in content) or any(
            not item.word.is_function and not item.classes & (MARKERS | CORE) for item in hits
        )
    is_more_than_a_topic = comment.numbers > 0 or len(hits) > 1 or len(content) > len(hits) + 1
    return weight >= reasons.STRONG and is_more_than_a_topic and any(item.classes & TOPIC for item in hits)


# --- what a comment is ---------------------------------------------------------------------------------------------


def _repeat(comment: _Comment) -> str:
    joined = comment.key.replace(" ", "")
    distinct = len(set(joined))
    if len(joined) >= FEWEST_LETTERS and (distinct == 1 or (distinct == 2 and len(joined) > FEWEST_LETTERS)):
        return "repeat_char"
    if all(item.is_run for item in comment.spoken):
        return "repeat_char"
    words = len({item.word.text for item in comment.spoken})
    is_reason = comment.found.weight >= reasons.STRONG and not comment.has(MARKERS | CORE)
    if words == 1 and len(comment.spoken) >= SAME_WORDS and not is_reason:
        return "repeat_word"
    is_rhyme = words == 2 and len(comment.spoken) > SAME_WORDS and not comment.unnamed
    return "repeat_word" if is_rhyme else ""


def _is_placeholder(comment: _Comment) -> bool:
    known = phrases("placeholders")
    if comment.key in known:
        # "23:40 пятница" is a time.
        return comment.numbers <= 1
    distinct = " ".join(dict.fromkeys(comment.key.split()))
    if known & {distinct, squeeze(distinct, 1), comment.key.replace(" ", "")}:
        return True
    # "нет, всё нормально": placeholders put together.
    return len(comment.spoken) <= MOST_TOGETHER and all(item.word.text in known for item in comment.spoken)


def _is_title(comment: _Comment, title: str) -> bool:
    of_title = [word(part) for part in tokens(normal_form(title)) if part[0].isalpha()]
    if not of_title:
        return False
    whole = " ".join(item.text for item in of_title)
    # Twice the title is the title.
    distinct = " ".join(dict.fromkeys(comment.key.split()))
    if any(fuzz.ratio(text, whole, score_cutoff=TITLE_LIKENESS) for text in (comment.key, distinct)):
        return True
    lemmas = {lemma for item in of_title for lemma in item.lemmas}
    has_more = any(item.word.is_function or lemmas.isdisjoint(item.word.lemmas) for item in comment.spoken)
    meant = sum(not item.is_function for item in of_title)
    return not has_more and len(comment.spoken) > 1 and len(comment.spoken) * 2 >= meant


def _turn(comment: _Comment, *, names_reason: bool) -> str:
    """A turn of phrase that gives the comment away; the fainter it is, the less may stand beside it."""
    for rank, first, last in places(comment.key, _TURN_SECTIONS):
        section, most_unnamed, code = _TURNS[rank]
        beside = comment.spoken[:first] + comment.spoken[last:]
        unnamed = sum(not item.is_listed and not item.word.is_function for item in beside)
        is_about_work = any(
            i.is_about_work or i.tells_of_others or i.classes == ELSEWHERE or i.word.text in listed("others")
            for i in beside
        )
        words = [item.word.text for item in beside]
        if section != "quotes" and (_points_at_something(words) or not listed("denials").isdisjoint(words)):
            continue
        says_why = names_reason and any(i.word.text in comment.found.hits and not i.word.is_function for i in beside)
        if unnamed <= most_unnamed and (section == "quotes" or not (is_about_work or says_why)):
            return code
    return ""


_TURNS = (
    ("quotes", 3, "padding"),
    ("form turns", 1, "padding"),
    ("refusal turns", 1, "refusal"),
    ("faint turns", 0, "refusal"),
)
"""Section of phrases, how many words that no list knows may stand beside them, rule."""
_TURN_SECTIONS = tuple(section for section, *_ in _TURNS)


# --- what its words are about --------------------------------------------------------------------------------------


def _without_reason(comment: _Comment) -> str:
    """What is left to say of a comment in which no reason was found."""
    heavy, key = comment.heavy, comment.key.split()
    mashed = sum(item.is_mash for item in heavy)
    is_known = any(item.word.is_known and not item.is_swearing and not item.classes & FILLER for item in heavy)
    if mashed and mashed * 2 >= len(comment.spoken) and not is_known:
        return "mash"
    if any(item.is_swearing for item in heavy) and not comment.unnamed and not comment.has(STATEMENTS):
        return "profanity_only"
    if not heavy:
        return "no_reason" if "не" in key else "no_content"
    code = _of_other_words(comment) if comment.unnamed else _of_listed_words(comment)
    is_dodge = comment.has(REFUSAL | CORE) and not comment.unnamed
    denies_a_thing = not listed("denials").isdisjoint(key) and not is_dodge
    is_absent = code == "off_topic" and "не" in key
    if code in _ABOUT_NOTHING and (
        denies_a_thing
        or is_absent
        or _points_at_something(key)
        or comment.numbers > 1
        or any(i.tells_of_others for i in heavy)
    ):
        # It speaks of what somebody did, though we do not understand what.
        return "single_word" if len(heavy) == 1 else "no_reason"
    return code


def _points_at_something(key: Sequence[str]) -> bool:
    """Whether a comment is about the colleague, or says what stood in place of what."""
    if not listed("others").isdisjoint(key) or "вместо" in key or key.count("ни") > 1:
        return True
    return any(first == "не" and second in listed("wrong ones") for first, second in pairwise(key))


_ABOUT_NOTHING = frozenset({"refusal", "padding", "off_topic", "no_content"})


def _of_listed_words(comment: _Comment) -> str:
    """Every word of weight stands in a list."""
    named = comment.named
    if _echoes_the_score(comment):
        return "score_echo"
    if comment.has(PRINCIPLE):
        return "no_reason"
    if comment.is_all(FILLER):
        return "no_reason" if "не" in comment.key.split() else "no_content"
    if comment.is_all(TOPIC | FILLER):
        return "topic_only"
    empty = [item for item in named if item.classes & MARKERS and not item.classes & (STATEMENTS | TOPIC)]
    stated = [item for item in named if item.classes & STATEMENTS and not item.classes & (MARKERS | FILLER)]
    if stated:
        refusing = sum(bool(item.classes & (FORM | REFUSAL)) for item in empty)
        if refusing > len(stated) and not any(item.classes & ELSEWHERE for item in stated):
            return "refusal"
        return "contradiction" if _praises(comment) else "no_reason"
    if any(item.classes & TOPIC and not item.classes & MARKERS for item in named):
        return "no_reason"
    counts = {code: sum(bool(item.classes & bits) for item in empty) for code, bits in _MARKED.items()}
    code = max(counts, key=lambda name: counts[name])
    return code if counts[code] else "no_reason"


def _praises(comment: _Comment) -> bool:
    if "не" in comment.key.split() or any(i.classes & BAD and not i.classes & GOOD for i in comment.named):
        return False
    return any(not listed("praise").isdisjoint((i.word.text, *i.word.lemmas)) for i in comment.named)


_MARKED = {"off_topic": LEISURE, "refusal": REFUSAL, "padding": FORM | TEST}
"""Rules and the classes whose words speak for them."""


def _echoes_the_score(comment: _Comment) -> bool:
    numbers = [item.word.text for item in comment.content if item.word.is_number]
    if len(numbers) > MOST_SCORES or any(len(number) > 2 and number != "100" for number in numbers):
        return False
    is_score = bool(numbers) and all(len(number) == 1 or number == "10" for number in numbers)
    return (comment.has(SCORE) or is_score) and all(
        item.classes & (SCORE | SCORING | GRADE | FILLER) and not item.classes & PRINCIPLE for item in comment.named
    )


def _of_other_words(comment: _Comment) -> str:
    """Some words of weight stand in no list."""
    heavy, named, unnamed = comment.heavy, comment.named, comment.unnamed
    empty = [item for item in named if item.classes & MARKERS and not item.classes & (STATEMENTS | TOPIC | FILLER)]
    is_about_form = any(item.is_about_form for item in named)
    if len(unnamed) == 1 and sum(bool(i.classes & (FORM | REFUSAL)) for i in empty) >= 2 + (not comment.has(CORE)):
        return "padding" if comment.has(CORE) else "refusal"
    leisure = any(item.classes & LEISURE for item in empty) and comment.is_all(LEISURE | FILLER | REFUSAL)
    if leisure and len(unnamed) == 1 and len(heavy) <= MOST_TOGETHER:
        # "кофе кончился" is off the topic, "сосиски просроченные" is the work of a canteen.
        return "no_reason"
    if len(unnamed) == len(heavy) and not any(item.word.is_known for item in unnamed):
        return "unknown_words"
    if len(heavy) == 1:
        return "single_word"
    if comment.has(PRINCIPLE) and comment.has(SCORE) and len(unnamed) <= 2:
        return "no_reason"
    if is_about_form and not any(item.is_about_work for item in named):
        # Nobody needs these words to complain about a task; "я дизайнер, тексты не пишу" only looks so.
        return "padding" if len(unnamed) <= 2 and comment.has(CORE) else "no_reason"
    if (
        len(heavy) <= MOST_TOGETHER
        and comment.found.weight == 0
        and not any(_may_complain(item) for item in comment.content)
    ):
        return "no_reason"
    is_verdict_but_one = len(unnamed) == 1 and len(named) > 1 and comment.is_all(STATEMENTS | FILLER | SCORE)
    return "no_reason" if is_verdict_but_one else ""


def _may_complain(item: Term) -> bool:
    """Whether a word belongs to complaints more than to small talk: a thing of work, an act, a denial, an amount.

    English words do: the lists know too few of them to tell.
    """
    if item.word.text.isascii() and not item.word.is_number:
        return True
    if (
        item.is_about_work
        or item.tells_of_others
        or item.word.text in listed("denials")
        or item.word.text in {"не", "вместо"}
    ):
        return True
    return item.word.is_number and len(item.word.text) > 1


# --- many comments -------------------------------------------------------------------------------------------------


def judge_all(comments: pd.Series[str], is_low: npt.NDArray[np.bool_], titles: pd.Series[str]) -> pd.DataFrame:
    """Judges each distinct comment once.

    Args:
        comments: texts as written, never null.
        is_low: whether the score of the row needs an explanation.
        titles: of the linked tasks, '' if unknown.

    Returns:
        Columns `level`, `codes` and `reasons` (both joined by commas, '' for none), a row per comment.
    """
    cases = pd.DataFrame(
        {"text": comments.to_numpy(dtype=object), "low": is_low, "title": titles.to_numpy(dtype=object)}
    )
    # A title matters to the one rule that compares with it, and only where an explanation is due.
    cases["title"] = np.where(is_low, cases["title"], "")
    number, distinct = _numbered(cases)
    verdicts = [judge(text, is_low=bool(low), title=title) for text, low, title in distinct]
    levels = np.array([verdict.level for verdict in verdicts], dtype=object)
    codes = np.array([",".join(verdict.codes) for verdict in verdicts], dtype=object)
    named = np.array([",".join(verdict.reasons) for verdict in verdicts], dtype=object)
    return pd.DataFrame(
        {"level": levels[number], "codes": codes[number], "reasons": named[number]}, index=comments.index
    )


def _numbered(cases: pd.DataFrame) -> tuple[npt.NDArray[np.int64], list[tuple[str, bool, str]]]:
    """Numbers equal rows; the distinct ones in the order of their numbers."""
    numbers: dict[tuple[str, bool, str], int] = {}
    order = [numbers.setdefault(case, len(numbers)) for case in cases.itertuples(index=False, name=None)]
    return np.array(order, dtype=np.int64), list(numbers)


def copy_pasted(ratings: pd.DataFrame, is_low: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Finds explanations that a rater gives to everybody.

    Args:
        ratings: columns rater_id, ratee_id, rated_on, comment; all ratings of all months.
        is_low: whether the rating needs an explanation; the others take no part.

    Returns:
        Whether the rating is one of at least three of its rater within 90 days, for at least two people, with the same
        or nearly the same text. Raters are judged by what they wrote at any time, so a rating can become a copy later.
    """
    flags = np.zeros(len(ratings), dtype=bool)
    places = np.flatnonzero(is_low & ratings["comment"].ne("").to_numpy(dtype=bool))
    if not len(places):
        return flags
    asked = pd.DataFrame(
        {
            "rater": ratings["rater_id"].to_numpy()[places],
            "ratee": ratings["ratee_id"].to_numpy()[places],
            "day": pd.to_datetime(ratings["rated_on"]).to_numpy(dtype="datetime64[D]")[places].astype("int64"),
            "key": [_copy_key(text) for text in ratings["comment"].to_numpy(dtype=object)[places]],
            "place": places,
        }
    )
    for _, own in asked[asked["key"].ne("")].groupby("rater", sort=False):
        if len(own) >= COPY_TIMES:
            flags[own["place"].to_numpy()[_copies(own)]] = True
    return flags


@lru_cache(maxsize=1 << 16)
def _copy_key(text: str) -> str:
    return " ".join(part for part in tokens(normal_form(text)) if part[0].isalnum())[:LONGEST_COMPARED]


LONGEST_COMPARED = 300
"""Characters of two texts that are compared."""


def _copies(own: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which ratings of one rater stand in a window of copies."""
    keys = own["key"].tolist()
    distinct = list(dict.fromkeys(keys))
    number = {key: at for at, key in enumerate(distinct)}
    alike = process.cdist(distinct, distinct, scorer=fuzz.ratio, score_cutoff=COPY_LIKENESS, dtype=np.uint8) > 0
    place = np.array([number[key] for key in keys])
    days, ratees = own["day"].to_numpy(), own["ratee"].to_numpy()
    found = np.zeros(len(own), dtype=bool)
    for at in range(len(own)):
        similar = alike[place[at]][place]
        window = similar & (days >= days[at]) & (days < days[at] + COPY_DAYS)
        if window.sum() >= COPY_TIMES and len(set(ratees[window])) >= COPY_RATEES:
            found |= window
    return found
