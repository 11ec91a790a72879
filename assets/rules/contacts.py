"""E-mail addresses, links, telephones, handles and task numbers in a comment.

Belongs here: what is known by its spelling alone. Does not belong here: names and self-references (`redaction.py`).
"""

from __future__ import annotations

import re

from assets.rules.lexicon import sections

MARKS = ("@", "＠", "\\", "/", "[/", "[u", "[U")
WORDS = frozenset(
    [
        "собака",
        "собачка",
        "точка",
        "тчк",
        "рф",
        "тг",
        "телега",
        "телеграм",
        "телеграмм",
        "телеграме",
        "скайп",
        "скайпе",
        "ник",
        "эт",
    ]
)
"""Addresses have at least one of these, or a word in Latin letters."""

_TOP = (
    "ru|рф|com|net|org|su|io|me|pro|online|site|info|biz|by|kz|ua|uz|am|ge|eu|de|dev|app|store|shop|tech|cloud|local|"
    "lan|corp|team|space|club|ai|gov|edu|link|page|xn--p1ai"
)
_HOST = rf"(?:[\w-]+\.)+(?:{_TOP})(?![\w])"
_AT = r"(?:\s?[@＠]\s?|\s*[\[(]\s*(?:at|собака|dog|эт)\s*[\])]\s*|\s+(?:собака|at|эт)\s+)"
_DOT = r"(?:\.|\s*[\[(]\s*(?:dot|точка)\s*[\])]\s*|\s+(?:точка|dot|тчк)\s+)"
_PATTERNS = (
    ("U", re.compile(r"\[url(?:=[^\[\]]*)?\].*?\[/url\]", re.IGNORECASE | re.DOTALL)),
    ("P", re.compile(r"\[user=?[^\[\]]*\].*?\[/user\]|\[/?user[^\[\]]*\]?", re.IGNORECASE | re.DOTALL)),
    ("E", re.compile(rf"[\w.+'-]+{_AT}[\w-]+(?:{_DOT}[\w-]+)+|[\w.+-]+@[\w-]+", re.IGNORECASE)),
    (
        "U",
        re.compile(
            r"(?:https?|ftp|file|tg|mailto|tel|skype|bx)(?::|%3a)/{0,3}[^\s<>«»\"]*[^\s<>«»\".,;:!?)\]]|www\.[^\s<>«»\"]+[\w/]"
            rf"|(?<![\w@.-]){_HOST}(?::\d+)?(?:[/?#][^\s<>«»\"]*[^\s<>«»\".,;:!?)])?/?"
            r"|(?<!\w)\\\\[^\s]+|(?<![\w.])(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2})(?::\d+)?(?:/\S*)?(?![\w.])"
            r"|(?<!\w)(?:/[\w.=&?%-]+){2,}/?(?=[?\d\s.,;!)]|$)",
            re.IGNORECASE,
        ),
    ),
    (
        "A",
        re.compile(
            r"(?<![\w.])[@＠]\s?[^\W\d][\w.]*\w|(?<!\w)(?:тг|телега|телеграм\w*|telegram|tg|скайп\w*|skype|ник|nick)"
            r"\s*[:=-]?\s+@?[a-z][\w.]{3,}",
            re.IGNORECASE,
        ),
    ),
)
_DIGITS = r"(?:[\s().\u2010-\u2015-]{0,3}\d)"
_INNER = r"(?:[\s,(]{0,3}(?:доб|вн|внутр)\w*\.?\s*\d{1,6}\)?)?"
_PHONES = re.compile(
    rf"(?:(?<![\w+])\+\s?\d{_DIGITS}{{9,13}}(?!\d)"
    rf"|(?<![\w.,№-])[78][\s().-]{{0,3}}\(?[3489]\d{{2}}\)?{_DIGITS}{{7}}(?!\d)"
    rf"|(?<![\w.,№-])\(?[3489]\d{{2}}\)?[\s-]{{1,2}}\d{{3}}[\s-]?\d{{2}}[\s-]?\d{{2}}(?!\d)"
    rf"|(?<![\w.,№-])9\d{{9}}(?!\d)"
    r"|(?<![\w.,/-])\d{2,3}[-\s]\d{2}[-\s]\d{2}(?![\w-])"
    r"|(?<!\w)(?:тел|телефон\w*|моб|сотов\w*|доб|добавочн\w*|внутр\w*|вн|номер\w*|набер\w*|звон\w*|whatsapp|вотсап\w*"
    r"|ватсап\w*|вайбер\w*)\.?(?:\s+(?:номер\w*|тел|телефон\w*|мне|на|по|мой|для связи))*\.?\s*[:№]?\s*"
    rf"(?:\+?\d[\d\s()-]{{1,16}}\d)(?!\w)){_INNER}",
    re.IGNORECASE,
)
_NO_PHONE = re.compile(
    r"(?:инн|кпп|огрн\w*|бик|сч[её]т\w*|р/с|к/с|№|снилс|паспорт\w*|накладн\w*|договор\w*|артикул\w*)\W{0,3}$",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{1,2}[.\s-]\d{2}[.\s-](?:20)?\d{2}")

_UNITS = (
    r"(?!\s?(?:дн|ден|дня|час|мин|сек|раз|недел|мес|год|г\.|шт|руб|₽|тыс|млн|проц|человек|чел|позиц|строк|пункт|файл|"
    r"лист))"
)
_TASK_STEMS = "|".join(sorted((re.escape(stem) for stem in sections("tasks")["tasks"]), key=len, reverse=True))
_TASKS = re.compile(
    rf"(?<!\w)(?:{_TASK_STEMS})\w*[\s_:=(]*"
    r"(?P<number>(?:(?:под\s)?номер\w*|ид|id|айди|№|#|no?\.?)[\s.:=№#]*(?:[a-zа-я]{1,5}-)?\d[\d-]*"
    rf"|[a-z]{{1,5}}-\d+|\d{{2,}}(?:[\s-]\d{{3,}})*(?![\w%.,]?\d){_UNITS})"
    r"(?:\s*(?:,|и|/)\s*[№#]?\s?\d{3,}(?!\w))*(?!\w)",
    re.IGNORECASE,
)
_HASHED = re.compile(r"(?<![\w&])#\s?(?:[a-zа-я]{1,5}-)?\d{1,}[\d-]*", re.IGNORECASE)
_NUMBERED = re.compile(
    r"(?P<before>[\w-]+)?(?P<gap>[^\w]{0,3})(?:№|\bномер(?:ом|а|у)?)\s?(?P<number>\d{3,}[\d-]*)(?![\w/])", re.IGNORECASE
)
_TRACKER = re.compile(r"(?<![\w-])(?P<project>[A-ZА-Я]{2,6})-\d+(?![\w-])")
_STANDARDS = frozenset(
    [
        "ISO",
        "IEC",
        "EN",
        "DIN",
        "GOST",
        "ГОСТ",
        "ИСО",
        "ТУ",
        "СТО",
        "СП",
        "ФЗ",
        "UTF",
        "COVID",
        "SHA",
        "MD",
        "RS",
        "USB",
        "HDMI",
        "IP",
        "КС",
        "СФ",
        "ПП",
        "НДФЛ",
        "РСВ",
        "СЗВ",
        "ЕФС",
        "ТОРГ",
        "УПД",
        "ИНВ",
        "ОС",
        "М",
        "КБ",
        "НДС",
        "ПБУ",
        "ПКО",
        "РКО",
        "МХ",
        "ИП",
        "ООО",
        "АО",
        "ВТ",
        "ЭТП",
        "КП",
        "ТН",
        "ТТН",
        "ОКВЭД",
        "СЗИ",
        "СНИП",
        "ЖК",
        "МФУ",
        "HP",
        "LED",
        "LG",
        "DVD",
        "CD",
        "PDF",
        "HTTP",
        "TLS",
        "WIN",
        "IOS",
    ]
)
_DOCUMENTS = tuple(sections("tasks").get("documents", ()))


def find(text: str, *, addresses: bool = True, numbers: bool = True) -> list[tuple[int, int, str]]:
    """Where contacts stand.

    Args:
        text: a comment without invisible characters.
        addresses: whether to look for what has letters; False if there are neither Latin letters nor `MARKS`.
        numbers: whether to look for telephones and task numbers; False if there are no digits.

    Returns:
        Begin, end and kind (P, E, U, A, T, N) of each; they may overlap.
    """
    found: list[tuple[int, int, str]] = []
    if addresses:
        found += [(*match.span(), kind) for kind, pattern in _PATTERNS for match in pattern.finditer(text)]
    if not numbers:
        return found
    found += [
        (*match.span(), "T")
        for match in _PHONES.finditer(text)
        if not _NO_PHONE.search(text, max(0, match.start() - 20), match.start()) and not _DATE.fullmatch(match.group())
    ]
    found += [(match.start("number"), match.end(), "N") for match in _TASKS.finditer(text)]
    found += [(*match.span(), "N") for match in _HASHED.finditer(text)]
    found += [(match.end("gap"), match.end(), "N") for match in _NUMBERED.finditer(text) if not _is_document(match)]
    found += [(*match.span(), "N") for match in _TRACKER.finditer(text) if match.group("project") not in _STANDARDS]
    return found


def _is_document(match: re.Match[str]) -> bool:
    before = (match.group("before") or "").lower()
    return any(before == stem or (len(stem) > 3 and before.startswith(stem)) for stem in _DOCUMENTS)
