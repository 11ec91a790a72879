"""Attacks on published comments: names left in them, style, words, order, number.

Belongs here: A8 of the suite. Does not belong here: the redactor, pools.

Inflected names are made here by a grammar of a few endings, not by the inflectors that the redactor uses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from random import Random

import numpy as np
import pandas as pd
from scipy import sparse

from assets.rules import pool
from assets.rules.redaction import Employee, Redaction, Redactor
from pipelines.audit.evidence import Release, Result, all_looked_at, measured, none_allowed

IDENTIFIERS = 10_000
OUTSIDERS = 0.02
STYLE = 0.10
ORDERED = 0.05
"""Pass levels of A8a (people who are no employees), A8c, A8e and A8d (privacy.md §5)."""

SHORT = 3
"""Shorter parts, initials, are not what names a person."""

SENTENCES = (
    ("nom", "{} опять прислал бриф без макета"),
    ("nom", "Срок сдвинул {}, предупредил за час."),
    ("nom", "в задаче нет ссылки, {} обещал(а) добавить и забыл(а)"),
    ("gen", "Ждал ответа от {} два дня"),
    ("gen", "без {} ничего не согласовать, материалов нет"),
    ("gen", "У {} другая версия файла."),
    ("dat", "писал {} трижды, ответа нет"),
    ("dat", "Передайте {}, что исходники битые"),
    ("acc", "пришлось искать {} по всему этажу"),
    ("acc", "Спросите {}: правки пришли после сдачи."),
    ("ins", "Согласовали с {}, а потом всё поменяли"),
    ("pre", "Всё держится на {}, описания нет"),
)
CASES = ("gen", "dat", "acc", "ins", "pre")

STRANGERS = (
    ("Остроухов", "Всеволод", "Аркадьевич", "m"),
    ("Перебейнос", "Тарас", "Богданович", "m"),
    ("Свиридова", "Эльвира", "Рашидовна", "f"),
    ("Кузнецкая", "Таисия", "Львовна", "f"),
    ("Стрельников", "Руслан", "Эдуардович", "m"),
    ("Мелентьева", "Василиса", "Яковлевна", "f"),
)
"""Clients and contractors whom no list of employees knows."""

_WORD = re.compile(r"[^\W_]+")


def declined(word: str, sex: str) -> dict[str, str]:
    """Forms of a name by case, from its ending; the nominative wherever the ending is none of the common ones."""
    forms = dict.fromkeys(("nom", *CASES), word)
    for ending, cut, tails in _ENDINGS[sex]:
        if word.endswith(ending):
            forms |= {case: word[: len(word) - cut] + tail for case, tail in zip(CASES, tails, strict=True)}
            break
    return forms | _IRREGULAR.get(word, {})


_ENDINGS: dict[str, tuple[tuple[str, int, tuple[str, ...]], ...]] = {
    "m": (
        ("ский", 2, ("ого", "ому", "ого", "им", "ом")),
        ("цкий", 2, ("ого", "ому", "ого", "им", "ом")),
        *((end, 0, ("а", "у", "а", "ым", "е")) for end in ("ов", "ев", "ёв", "ин", "ын")),
        ("ич", 0, ("а", "у", "а", "ем", "е")),
        ("ий", 1, ("я", "ю", "я", "ем", "и")),
        ("й", 1, ("я", "ю", "я", "ем", "е")),
        ("ь", 1, ("я", "ю", "я", "ем", "е")),
        ("та", 1, ("ы", "е", "у", "ой", "е")),
        ("ья", 1, ("и", "е", "ю", "ёй", "е")),
        *((end, 0, ("а", "у", "а", "ом", "е")) for end in "бвгджзклмнпрстфхцчш"),
    ),
    "f": (
        ("ская", 2, ("ой", "ой", "ую", "ой", "ой")),
        ("цкая", 2, ("ой", "ой", "ую", "ой", "ой")),
        *((end, 1, ("ой", "ой", "у", "ой", "ой")) for end in ("ова", "ева", "ёва", "ина", "ына")),
        ("вна", 1, ("ы", "е", "у", "ой", "е")),
        ("ия", 1, ("и", "и", "ю", "ей", "и")),
        ("я", 1, ("и", "е", "ю", "ей", "е")),
        *((end, 1, ("и", "е", "у", "ой", "е")) for end in ("га", "ка", "ха")),
        ("а", 1, ("ы", "е", "у", "ой", "е")),
        ("вь", 2, ("ви", "ви", "вь", "вью", "ви")),
    ),
}
_FIRST_NAMES_IN_INA = ("Алина", "Галина", "Ирина", "Марина", "Полина", "Кристина", "Валентина", "Екатерина", "Нина")
_IRREGULAR: dict[str, dict[str, str]] = {
    "Павел": {"gen": "Павла", "dat": "Павлу", "acc": "Павла", "ins": "Павлом", "pre": "Павле"},
    "Пётр": {"gen": "Петра", "dat": "Петру", "acc": "Петра", "ins": "Петром", "pre": "Петре"},
    "Лев": {"gen": "Льва", "dat": "Льву", "acc": "Льва", "ins": "Львом", "pre": "Льве"},
    "Любовь": {"gen": "Любови", "dat": "Любови", "ins": "Любовью", "pre": "Любови"},
    **{name: {"gen": f"{name[:-1]}ы", "dat": f"{name[:-1]}е", "pre": f"{name[:-1]}е"} for name in _FIRST_NAMES_IN_INA},
}


def left_names(redactor: Redactor, employees: Sequence[Employee], chance: Random, number: int = IDENTIFIERS) -> Result:
    """A8a: generated identifiers, of which none may come through the real redactor.

    Surnames, first names and patronymics of the company's people in all cases, orders and letters; their e-mails,
    logins and telephones, links, task numbers. A trial is a comment with one identifier.
    """
    people = [person for person in employees if person.surname and person.name and person.patronymic]
    cases = [_identified(people[chance.randrange(len(people))], chance) for _ in range(number)]
    shown = redactor.redact_all([text for text, _ in cases])
    left = sum(_is_left(redaction, parts) for redaction, (_, parts) in zip(shown, cases, strict=True))
    return none_allowed("A8a identifiers of employees", left, number, "generated comments, one identifier each")


def left_strangers(redactor: Redactor, chance: Random, number: int = IDENTIFIERS) -> Result:
    """A8a: people whom no list knows, with surname and first name or patronymic."""
    people = [Employee(0, *parts) for parts in STRANGERS]
    cases = [_named(people[chance.randrange(len(people))], chance, chance.choice(_FULL)) for _ in range(number)]
    shown = redactor.redact_all([text for text, _ in cases])
    left = sum(_is_left(redaction, parts) for redaction, (_, parts) in zip(shown, cases, strict=True))
    return measured("A8a identifiers of outsiders", left, number, 0.0, OUTSIDERS, "full names of people on no list")


_FULL = ("{s} {n}", "{n} {s}", "{n} {p}", "{s} {n} {p}")
_ORDERS = (*_FULL, "{s}", "{s} {i}. {j}.", "{i}. {j}. {s}", "{n}", "{s} {i}.{j}.")


def _identified(person: Employee, chance: Random) -> tuple[str, list[str]]:
    """A comment with one identifier of a person, and the parts of it that must be gone."""
    kind = chance.random()
    if kind < 0.75:
        return _named(person, chance, chance.choice(_ORDERS))
    number = chance.randrange(10_000, 99_999)
    login = person.login.split("@")[0] or "login"
    contact = chance.choice(
        (
            (person.login or "somebody@firma.example", None),
            (f"@{login}", None),
            (
                f"+7 {chance.randrange(900, 999)} {number % 900 + 100}-{number // 1000}-{number % 1000 // 10:02d}",
                None,
            ),
            (f"8({chance.randrange(900, 999)}){chance.randrange(1000000, 9999999)}", None),
            (f"https://portal.example/company/personal/user/{person.id}/tasks/task/view/{number}/", None),
            (f"№ {number}", str(number)),
            (f"задача {number}", str(number)),
            (f"[USER={person.id}]{person.name} {person.surname}[/USER]", None),
        )
    )
    text, part = contact
    return f"ответа нет, писали: {text}, срок прошёл", [part or text]


def _named(person: Employee, chance: Random, order: str) -> tuple[str, list[str]]:
    case, sentence = chance.choice(SENTENCES)
    surname, name, patronymic = (
        declined(part, person.sex)[case] for part in (person.surname, person.name, person.patronymic)
    )
    written = order.format(s=surname, n=name, p=patronymic, i=person.name[0], j=person.patronymic[0])
    text = sentence.format(written)
    spelling = chance.random()
    if spelling < 0.1:
        text = text.upper()
    elif spelling < 0.2 and order != "{n}":
        # A first name alone in lower case is a word as often as not ("вера", "роман"): no list can tell.
        text = text.lower()
    elif spelling < 0.3:
        text = text.replace("ё", "е").replace("Ё", "Е")
    parts = [part for key, part in (("{s}", surname), ("{n}", name), ("{p}", patronymic)) if key in order]
    return text, parts


def _is_left(redaction: Redaction, parts: Sequence[str]) -> bool:
    """Whether the text still shows a part; one that waits for a person to look at it is not published."""
    if redaction.needs_review:
        return False
    words = [word.casefold().replace("ё", "е") for word in _WORD.findall(redaction.text)]
    text = redaction.text.casefold().replace("ё", "е")
    for part in parts:
        plain = part.casefold().replace("ё", "е")
        if len(plain) >= SHORT and (plain in words if plain.isalpha() else plain in text):
            return True
    return False


def signatures(releases: Sequence[Release]) -> Result:
    """A8b: published comments with a word that one rater alone writes, five times and in four texts or more.

    Words of a rare subject, too, are written by one person only, but neither so often nor beside so different texts.
    """
    found = looked_at = 0
    for release in releases:
        said = release.known.ratings.drop_duplicates(["process_key", "rating_id"])
        said = said[said["comment"].str.strip().ne("").to_numpy()]
        words = [
            (word, rater, text)
            for rater, text in zip(said["rater_id"], said["comment"], strict=True)
            for word in _words(text)
        ]
        table = pd.DataFrame(words, columns=["word", "rater", "text"])
        use = table.groupby("word").agg(raters=("rater", "nunique"), texts=("text", "nunique"), times=("text", "size"))
        own = set(use.index[(use["raters"] == 1) & (use["texts"] >= 4) & (use["times"] >= 5)])
        shown = [_words(text) for text in release.comments["comment"]]
        found += sum(not own.isdisjoint(of) for of in shown)
        looked_at += len(shown)
    return all_looked_at("A8b signature words", found, looked_at, "published comments")


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text) if len(word) >= SHORT}


def style(releases: Sequence[Release], redactors: Sequence[Redactor], *, raw: bool = False) -> Result:
    """A8c: the author of a redacted comment guessed by his style, trained on his other comments as he wrote them.

    TF-IDF of runs of two to four letters, nearest centroid among the raters of the pool. Comments of even months are
    tried with a model of the odd ones, and the other way round. The baseline is the pool's busiest author.

    Args:
        releases: companies.
        redactors: of each.
        raw: tries the comments as written: what would be if they were published so.
    """
    hits = blind = tried = 0
    for release, redactor in zip(releases, redactors, strict=True):
        said = release.known.hidden.drop_duplicates(["process_key", "rating_id"])
        said = said[said["comment"].str.len().ge(8).to_numpy()].reset_index(drop=True)
        texts = said["comment"].tolist()
        shown = texts if raw else [redaction.text for redaction in redactor.redact_all(texts)]
        vectors = _tfidf([*texts, *shown])
        written, published = vectors[: len(texts)], vectors[len(texts) :]
        is_even = np.array([month.month % 2 == 0 for month in said["period"]])
        for train, test in ((is_even, ~is_even), (~is_even, is_even)):
            for _, pool_rows in said.groupby(["process_key", "ratee_department_id"]):
                at = pool_rows.index.to_numpy()
                known, asked = at[train[at]], at[test[at]]
                authors = said["rater_id"].to_numpy()
                names, number = np.unique(authors[known], return_inverse=True)
                asked = asked[np.isin(authors[asked], names)]
                if len(names) < 2 or not len(asked):
                    continue
                sums = sparse.csr_array(
                    (np.ones(len(known)), (number, np.arange(len(known)))), shape=(len(names), len(known))
                )
                centroids = sums @ written[known]
                norms = np.sqrt(np.asarray(centroids.multiply(centroids).sum(axis=1))).ravel()
                scores = (published[asked] @ centroids.T).toarray() / np.maximum(norms, 1e-12)
                hits += int((names[scores.argmax(axis=1)] == authors[asked]).sum())
                busiest = names[np.bincount(number).argmax()]
                blind += int((authors[asked] == busiest).sum())
                tried += len(asked)
    return measured("A8c writing style", hits, tried, blind / max(tried, 1), STYLE, "hidden comments, redacted")


def _tfidf(texts: Sequence[str]) -> sparse.csr_array:
    """Rows of unit length over runs of two to four letters."""
    numbers: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, text in enumerate(texts):
        for run, times in Counter(_runs(text.casefold())).items():
            rows.append(row)
            columns.append(numbers.setdefault(run, len(numbers)))
            values.append(1.0 + np.log(times))
    table = sparse.csr_array((values, (rows, columns)), shape=(len(texts), max(len(numbers), 1)))
    seen = np.bincount(columns, minlength=table.shape[1])
    table = sparse.csr_array(table.multiply(np.log((1 + len(texts)) / (1 + seen))[None, :]))
    norms = np.sqrt(np.asarray(table.multiply(table).sum(axis=1))).ravel()
    return sparse.csr_array(table.multiply((1 / np.maximum(norms, 1e-12))[:, None]))


def _runs(text: str) -> Iterator[str]:
    for size in (2, 3, 4):
        for start in range(len(text) - size + 1):
            yield text[start : start + size]


CROWD = 24_000


class _Untouched:
    """Lets texts through: only their order is looked at."""

    def redact_all(self, texts: Sequence[str]) -> Sequence[Redaction]:
        return [Redaction(text, (), 0.0, has_self_reference=False) for text in texts]

    def leaks(self, text: str) -> bool:  # noqa: ARG002 - a Redactor
        return False


def crowd_comments(chance: Random, size: int = CROWD) -> pd.DataFrame:
    """Positions of a huge pool's comments beside the order in which they were written and the authors' ids."""
    raters = list(range(1, size + 1))
    chance.shuffle(raters)
    texts = ["".join(chance.choice("абвгдежзик") for _ in range(8)) + str(number) for number in range(size)]
    ratings = pd.DataFrame(
        {
            "process_key": "crowd",
            "rating_id": np.arange(1, size + 1),
            "period": date(2026, 1, 1),
            "rater_id": raters,
            "ratee_department_id": 2,
            "mode": "aggregate",
            "exclusion_code": "",
            "comment": texts,
            "comment_level": "ok",
        }
    )
    nothing = pd.DataFrame({"process_key": pd.Series(dtype="str"), "rating_id": pd.Series(dtype="int64")})
    pools = pool.pool_comments(ratings, date(2026, 1, 1), nothing, set(), _Untouched(), chance.randbytes(32))
    of = ratings.set_index("comment")
    shown = pools.rows["comment"].tolist()
    return pd.DataFrame(
        {
            "position": np.arange(len(shown)),
            "raw": of.loc[shown, "rating_id"].to_numpy(),
            "rater": of.loc[shown, "rater_id"].to_numpy(),
        }
    )


def order(sample: pd.DataFrame) -> Result:
    """A8d: Spearman's rho between the order of published comments and when, or by whom, they were written."""
    rho = float(abs(sample.corr(method="spearman")["position"].drop("position")).max()) if len(sample) > 2 else 1.0
    bound = float(rho + 1.645 / np.sqrt(max(len(sample), 1)))
    return Result(
        "A8d order of comments", 0.0, rho, bound, ORDERED, bound <= ORDERED, len(sample), "rho in a large pool"
    )


def counts(releases: Sequence[Release], published: Sequence[pd.Series[int]] | None = None) -> Result:
    """A8e: the number of lowered scores of a department, read from the number of its published comments.

    The adversary says that every lowered score has its comment. A trial is a pool; the baseline is the commonest number
    of lowered scores.

    Args:
        releases: companies.
        published: numbers of comments by process and department instead of the published ones.
    """
    hits = tried = 0
    truths: list[int] = []
    for at, release in enumerate(releases):
        hidden = release.known.hidden.drop_duplicates(["process_key", "rating_id"])
        low = hidden[(hidden["score"] < 5) & hidden["mode"].ne("department_only")]
        pools = ["process_key", "ratee_department_id"]
        lowered = low.groupby(pools).size()
        shown = release.comments.groupby(pools).size() if published is None else published[at]
        both = lowered.to_frame("low").join(shown.rename("shown"), how="inner")
        hits += int((both["low"] == both["shown"]).sum())
        tried += len(both)
        truths += both["low"].tolist()
    common = Counter(truths).most_common(1)[0][1] if truths else 0
    baseline = common / max(tried, 1)
    return all_looked_at("A8e number of comments", max(0, hits - common) if baseline < 1 else hits, tried, "pools")
