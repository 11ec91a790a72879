"""Comment rules: which comments explain a lowered score, and what the rater is told."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.rules import comments
from assets.rules.comments import INFO, OK, RULES, VIOLATION, WEAK, copy_pasted, judge, judge_all
from sources.stand_in.phrases import PRAISE

EXAMPLES = [
    ("empty", "\u200b\u00a0\u2060", "нет макета"),
    ("empty", "<p>&nbsp;</p>[b][/b]", "<p>нет макета</p>"),
    ("no_letters", "¯\\_(4)_/¯", "404 по ссылке"),
    ("no_letters", "👍👍 4/5 — …", "👍 4/5: без макета"),
    ("too_short", "уф", "тз нет"),
    ("placeholder", "Н.Е.Т.", "нет доступа к CRM"),
    ("placeholder", "н\u200bе\u200bт", "нет реквизитов"),
    ("placeholder", "HET", "net maketa"),
    ("placeholder", ",tp rjvvtynfhbtd", "ytn vfrtnf"),
    ("placeholder", "без комментариев", "без комментариев от заказчика не разобраться"),
    ("placeholder", "Нееееет!!!", "аааа, опять без ТЗ!!!"),
    ("repeat_char", "ыыыыыы", "3 правки"),
    ("repeat_char", "хахаха", "хамит"),
    ("repeat_word", "слово слово слово", "правки, правки и снова правки"),
    ("mash", "фывапр лдоывл", "qwerty.docx не открывается"),
    ("mash", "sdlkfj slkdfj", "xlsx без формул, ссылки битые"),
    ("score_echo", "поставил четвёрку", "4: нет реквизитов контрагента"),
    ("score_echo", "потому что не 5", "пять правок за день"),
    ("padding", "съешь ещё этих мягких французских булок", "съели весь срок на согласование"),
    ("padding", "минимум десять символов, вот вам", "минимум десять правок на макет"),
    ("refusal", "мне лень объяснять", "поставщику лень приложить договор"),
    ("refusal", "как-нибудь потом напишу", "потом дописал в задачу ещё три пункта"),
    ("off_topic", "пиво и шашлыки", "задачу поставили с шашлыков в субботу голосовым"),
    ("title_copy", "согласовать договор с Вектором", "договор с Вектором без приложений"),
    ("no_content", "ну вот как-то так вот", "как-то так и не ответил"),
    ("profanity_only", "хуйня", "хуйня вместо ТЗ"),
    ("no_reason", "есть куда расти", "есть куда слать, а адреса нет"),
    ("no_reason", "обсудили лично", "обсудили лично, в задаче ничего не записано"),
    ("no_reason", "никому не ставлю пять", "никому не отвечает по неделе"),
    ("topic_only", "сроки", "срок вчера"),
    ("contradiction", "всё супер, спасибо", "спасибо, но макета так и нет"),
    ("single_word", "трактор", "хамство"),
    ("unknown_words", "бармаглот варкалось", "варкалось в задаче вместо размеров"),
]
TITLE = "Согласовать договор с «Вектором»"


@pytest.mark.parametrize(("code", "breaks", "keeps"), EXAMPLES)
def test_each_rule_catches_its_dodge_and_spares_a_reason_that_looks_like_it(code: str, breaks: str, keeps: str) -> None:
    verdict = judge(breaks, title=TITLE)
    assert (verdict.level, verdict.codes[0]) == (RULES[code].severity, code)
    assert judge(keeps, title=TITLE).level == OK


def test_every_rule_has_an_example() -> None:
    shown = {code for code, *_ in EXAMPLES} | {"copy_paste", "complaint_on_five", "profanity"}
    assert shown == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_every_rule_tells_the_rater_in_russian_what_to_do(rule: comments.Rule) -> None:
    assert rule.severity in {VIOLATION, WEAK, INFO}
    assert 10 <= len(rule.hint) <= 100
    assert any("а" <= letter <= "я" for letter in rule.hint)
    assert rule.hint.endswith((".", "?"))


@pytest.mark.parametrize(
    "text",
    [
        "-",
        ".",
        "—",
        "",
        " ",
        "\ufeff",
        "ㅤㅤ",
        "12345",
        "🙂",
        "👍👍👍",
        "аааа",
        "нет нет нет",
        "HET",
        "нeт",
        "н е т",
        "ок",
        "оооок",
        "N/A",
        "н̶е̶т̶",
        "𝐧𝐨𝐧𝐞",
        "ｎｏｎｅ",
        "н3т",
        "&#1085;&#1077;&#1090;",
        "~нет~",
        "(нет)",
    ],
)
def test_disguised_nothing_is_never_an_explanation(text: str) -> None:
    assert judge(text).level == VIOLATION


@pytest.mark.parametrize(
    "text",
    [
        "хамит",
        "не мне",
        "дубль",
        "без ТЗ",
        "срок вчера",
        "3 правки",
        "404 по ссылке",
        "хз что делать, описания нет",
        "The brief does not say which pages should be changed",
        "requirements unclear",
        "no access to the repo",
        "не знаю, с чего начинать: цель не написана",
        "ТЗ — полная хуйня, ни одного размера не указано",
        "молчит",
        "пропал",
        "прислал в 17:55",
        "ни ответа ни привета",
        "Ок, но в ТЗ ни слова про мобильную версию",
    ],
)
def test_a_short_or_rude_or_english_reason_is_a_reason(text: str) -> None:
    assert judge(text).level == OK


@pytest.mark.parametrize(
    "text",
    [
        "не ответил",
        "так и не дописал",
        "забыл указать цех",
        "захотел другое, потом третье",
        "кол-во не то",
        "нет кнопки",
        "полей в форме нет",
        "анкеты кандидата нет",
        "обязательные поля в заявке пропущены",
        "поле заполнил не тем",
        "не пускает в систему",
        "текст для баннера не готов",
        "без комментариев сметчика",
        "место для печати забыл",
        "катюша не та",
        "штирлиц на открытке без прав",
        "сосиски просроченные",
        "автобуса не было",
        "торт без надписи",
        "в отпуске",
        "правки правки правки",
        "ебитда не сходится",
        "херсонский склад перепутал",
        "я дизайнер, тексты не пишу",
        "лень ему расписать",
        "мне за это не платят",
        "тексты не вычитаны",
        "no tests",
    ],
)
def test_words_of_dodges_in_a_complaint_do_not_reject_it(text: str) -> None:
    verdict = judge(text)
    assert verdict.level != VIOLATION
    assert "profanity" not in verdict.codes


def test_only_a_low_score_has_to_be_explained() -> None:
    assert judge("—", is_low=False).level == OK
    assert judge("нет макета", is_low=False).codes == ("complaint_on_five",)
    assert judge("Спасибо, всё отлично", is_low=False).codes == ()


@pytest.mark.parametrize("text", PRAISE)
def test_praise_beside_a_five_is_no_complaint(text: str) -> None:
    assert judge(text, is_low=False).codes == ()


def test_swearing_beside_a_reason_is_only_noted() -> None:
    verdict = judge("на хуй послал в ответ на вопрос")
    assert (verdict.level, verdict.codes) == (OK, ("profanity",))
    assert judge("корабля не хватает, рубля тоже: счёт без суммы").codes == ()


def test_a_violation_names_no_reasons_and_an_explanation_does() -> None:
    assert judge("дубль", title="дубль").reasons == ()
    assert judge("нет макета").reasons == ("materials",)


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(), max_size=300), st.booleans(), st.text(max_size=40))
@example("\ud800", True, "\udfff")
@example("\u202eтен", True, "")
@example("<" * 5_000 + "[url=" * 5_000, True, "")
@example("&#" * 50_000, True, "")
@example("a b " * 25_000, True, "a b")
@example("аб" * 50_000, True, "")
@example("\x00", True, "\x00")
def test_any_text_gets_a_verdict(text: str, is_low: bool, title: str) -> None:
    verdict = judge(text, is_low=is_low, title=title)
    assert verdict.level in {OK, WEAK, VIOLATION}
    assert set(verdict.codes) <= set(RULES)
    assert (verdict.level == OK) == (not verdict.codes or RULES[verdict.codes[0]].severity == INFO)


@settings(deadline=None)
@given(st.sampled_from(["нет макета", "нет", "допишу потом", "хамит"]), st.text("\u200b\u00ad \t!.", max_size=8))
def test_invisible_characters_and_marks_around_a_comment_change_nothing(text: str, around: str) -> None:
    assert judge(around + text + around) == judge(text)


def test_a_reason_after_a_hundred_thousand_marks_is_still_found() -> None:
    assert judge("?!" * 50_000 + " нет доступа").level == OK


def test_each_distinct_comment_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def noting(text: str, *, is_low: bool = True, title: str = "") -> comments.Verdict:
        judged.append(text)
        return judge(text, is_low=is_low, title=title)

    monkeypatch.setattr(comments, "judge", noting)
    texts = pd.Series(["—", "нет макета", "—", "—", "нет макета"])
    low = np.array([True, True, True, True, False])
    titles = pd.Series(["Сайт", "", "Сайт", "Сайт", "Сайт"])
    verdicts = judge_all(texts, low, titles)
    assert verdicts["level"].tolist() == [VIOLATION, OK, VIOLATION, VIOLATION, OK]
    assert verdicts["codes"].tolist() == ["no_letters", "", "no_letters", "no_letters", "complaint_on_five"]
    assert judged == ["—", "нет макета", "нет макета"]


# --- copies ---------------------------------------------------------------------------------------------------------


def _ratings(*rows: tuple[int, int, int, str]) -> pd.DataFrame:
    """Rater, ratee, day, comment."""
    start = date(2026, 1, 1)
    return pd.DataFrame(
        [(rater, ratee, start + timedelta(days=day), text) for rater, ratee, day, text in rows],
        columns=["rater_id", "ratee_id", "rated_on", "comment"],
    )


def _copies(*rows: tuple[int, int, int, str]) -> list[bool]:
    return [bool(flag) for flag in copy_pasted(_ratings(*rows), np.ones(len(rows), dtype=bool))]


def test_the_same_reason_for_everybody_is_a_copy() -> None:
    assert _copies((1, 7, 0, "нет макета"), (1, 8, 10, "Нет макета!"), (1, 7, 89, "нет  макета")) == [True] * 3


@pytest.mark.parametrize(
    "rows",
    [
        ((1, 7, 0, "нет макета"), (1, 8, 10, "нет макета")),
        ((1, 7, 0, "нет макета"), (1, 7, 10, "нет макета"), (1, 7, 20, "нет макета")),
        ((1, 7, 0, "нет макета"), (1, 8, 10, "нет макета"), (1, 8, 90, "нет макета")),
        ((1, 7, 0, "нет макета"), (2, 8, 10, "нет макета"), (3, 8, 20, "нет макета")),
        ((1, 7, 0, "нет макета"), (1, 8, 10, "нет доступа к CRM"), (1, 9, 20, "срок вчера")),
        ((1, 7, 0, "👍"), (1, 8, 1, "👍"), (1, 9, 2, "👍")),
    ],
    ids=["twice", "one colleague", "over more than 90 days", "three raters", "three reasons", "no words"],
)
def test_what_is_not_pasted_everywhere_is_no_copy(rows: tuple[tuple[int, int, int, str], ...]) -> None:
    assert not any(_copies(*rows))


def test_a_window_of_copies_takes_only_its_own_ratings() -> None:
    rows = [(1, 7, 0, "нет макета")] + [(1, 7 + day, 100 + day, "нет макета") for day in range(3)]
    assert _copies(*rows) == [False, True, True, True]


def test_nearly_the_same_text_is_a_copy_too() -> None:
    texts = ["не приложен макет баннера", "не приложен макет банера", "не приложен макет баннера."]
    assert _copies(*((1, 7 + at, at, text) for at, text in enumerate(texts))) == [True] * 3


def test_ratings_that_need_no_explanation_are_no_copies() -> None:
    rows = _ratings(*((1, 7 + day, day, "спасибо") for day in range(4)))
    assert not copy_pasted(rows, np.zeros(4, dtype=bool)).any()


# --- labelled sets --------------------------------------------------------------------------------------------------

DATA = Path(__file__).parent / "data"
