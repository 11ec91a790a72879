"""Redaction: nobody is named in a masked comment, and comments that name nobody stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymorphy3 import MorphAnalyzer
from pytrovich.enums import Case, Gender, NamePart
from pytrovich.maker import PetrovichDeclinationMaker

from assets.rules import ner
from assets.rules.redaction import Employee, RedactionError, Redactor
from assets.rules.spelling import MASK
from pipelines.redaction_evaluation import evaluate, read_employees, read_marked

DATA = Path(__file__).parent / "data"
MORPH = MorphAnalyzer()

PEOPLE = (
    Employee(1, "Кравец", "Любовь", "Ильинична", "f", "l.kravets"),
    Employee(2, "Бубенец", "Лев", "Аркадьевич", "m", "bubenets_la"),
    Employee(3, "Бонч-Бруевич", "Станислав", "Вячеславович", "m", "s.bonch"),
    Employee(4, "Мамин-Сибиряк", "Роман", "Юрьевич", "m", "r.mamin"),
    Employee(5, "Черных", "Вероника", "Павловна", "f", "v.chernyh"),
    Employee(6, "Дурново", "Пётр", "Николаевич", "m", "p.durnovo"),
    Employee(7, "Гоголь", "Виктория", "Сергеевна", "f", "gogol"),
    Employee(8, "Ли", "Алексей", "Чанович", "m", "a.lee"),
    Employee(9, "Ким", "Наталия", "Андреевна", "f", "n.kim"),
    Employee(10, "Мороз", "Вера", "Михайловна", "f", "v.moroz"),
    Employee(11, "Никитенко", "Глеб", "Вадимович", "m", "nikitenko"),
    Employee(12, "Щёголев", "Фёдор", "Семёнович", "m", "f.schegolev"),
    Employee(13, "Волк", "Надежда", "Фёдоровна", "f", "n.volk"),
    Employee(14, "Быстрый", "Евгений", "Петрович", "m", "e.bystry"),
)
"""Surnames that decline as few others do, and names that are words."""
REDACTOR = Redactor(PEOPLE, departments=["Отдел ВЭД", "Бухгалтерия"])
FRAMES = (
    "{}",
    "{} не ответил",
    "Задачу ставил {}, срока нет",
    "Спросил у {}: молчит",
    "нет данных от {}",
    "Сначала согласовали ({}), потом передумали",
    "Макет старый. Его прислал {}!",
)


def _shown(text: str) -> str:
    return REDACTOR.redact(text).text


# --- names


def _forms(person: Employee) -> list[str]:
    """Forms that pytrovich makes, in the spellings of an office."""
    maker, gender = PetrovichDeclinationMaker(), Gender.FEMALE if person.sex == "f" else Gender.MALE
    parts = (
        (NamePart.LASTNAME, person.surname),
        (NamePart.FIRSTNAME, person.name),
        (NamePart.MIDDLENAME, person.patronymic),
    )
    cases = [case for case in Case if case is not Case.NOMINATIVE]
    declined = [[maker.make(part, gender, case, word) for part, word in parts] for case in cases]
    full = [" ".join(words) for words in [[word for _, word in parts], *declined]]
    short = [f"{words[0]} {words[1]}" for words in declined] + [f"{words[1]} {words[2]}" for words in declined]
    initials = [f"{words[0]} {person.name[0]}.{person.patronymic[0]}." for words in declined]
    return full + short + initials + [f"{person.name[0]}. {words[0]}" for words in declined]


@settings(max_examples=120, deadline=None)
@given(person=st.sampled_from(PEOPLE), frame=st.sampled_from(FRAMES), data=st.data())
def test_every_form_of_every_name_is_masked_wherever_it_stands(
    person: Employee, frame: str, data: st.DataObject
) -> None:
    form = data.draw(st.sampled_from(_forms(person)))
    shown = _shown(frame.format(form))
    left = {word.strip(".,:!()") for word in shown.split()}
    assert left.isdisjoint(word.lower().replace("ё", "е").strip(".") for word in form.split())
    assert not REDACTOR.leaks(shown)


@settings(max_examples=40, deadline=None)
@given(person=st.sampled_from(PEOPLE), frame=st.sampled_from(FRAMES), case=st.sampled_from(["lower", "upper", "title"]))
def test_full_names_are_masked_in_any_case(person: Employee, frame: str, case: str) -> None:
    name = getattr(f"{person.surname} {person.name}", case)()
    assert _shown(frame.format(name)) == _shown(frame.format("[…]"))


@settings(max_examples=40, deadline=None)
@given(surname=st.sampled_from(["Рогозин", "Барсуков", "Сафронов", "Гайдай", "Кузнецов"]), data=st.data())
def test_surnames_decline_as_the_dictionary_says(surname: str, data: st.DataObject) -> None:
    redactor = Redactor([Employee(1, surname, "Инна", "", "", "")])
    parse = next(parse for parse in MORPH.parse(surname) if "Surn" in parse.tag)
    form = data.draw(st.sampled_from([form.word for form in parse.lexeme]))
    assert redactor.redact(f"вчера {form} ждали").text == f"вчера {MASK} ждали"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Спросил у Глебушки, не знает", "спросил у […], не знает"),
        ("Федькин макет не открылся", "[…] макет не открылся"),
        ("Фёдор Семёныч забыл про акт", "[…] забыл про акт"),
        ("Наташка опять без ТЗ", "[…] опять без тз"),
        ("с Никитенкой не договориться", "с […] не договориться"),
        ("Щеголев не дал доступ", "[…] не дал доступ"),
        ("Щёглоев не дал доступ", "[…] не дал доступ"),
        ("Shchegolev не дал доступ", "[…] не дал доступ"),
        ("Fyodor Schegoleff не дал доступ", "[…] не дал доступ"),
        ("f.schegolev не дал доступ", "[…] не дал доступ"),
        ("Ybrbntyrj не дал доступ", "[…] не дал доступ"),
        ("Кравeц не дала доступ", "[…] не дала доступ"),
        ("К р а в е ц не дала доступ", "[…] не дала доступ"),
        ("Никитенко\u200b не дал доступ", "[…] не дал доступ"),
        ("отНикитенко нет ответа", "[…] нет ответа"),
        ("Сибиряк сорвал срок", "[…] сорвал срок"),
        ("Ли А.Ч. не отвечает", "[…] не отвечает"),
        ("[USER=11]Глеб[/USER] не ответил", "[…] не ответил"),
        ("НИКИТЕНКО НЕ ОТВЕЧАЕТ", "[…] не отвечает"),
        ("Клиент Рогозин Павел отказался", "клиент […] отказался"),
        ("договор с Семёном Аркадьевичем не подписан", "договор с […] не подписан"),
    ],
)
def test_people_are_known_under_any_name(text: str, shown: str) -> None:
    assert _shown(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Вера не прислала файл", "вера не прислала файл", "Передал Вере", "По словам волка, срок другой",
        "Надежда, прикрепите ТЗ", "Быстрый работает медленно", "Волк", "Мороз опять без вложений",
        "Роман изменил требования", "Просил Льва прислать смету", "черных в.п. не ответил", "вера мороз молчит",
    ],
)  # fmt: skip
def test_a_name_that_is_a_word_is_masked_where_somebody_is_meant(text: str) -> None:
    assert MASK in _shown(text)


@pytest.mark.parametrize(
    "text",
    [
        "вера в сроки потеряна", "надежда была на шаблон", "срок быстрый, данных нет",
        "мороз и снег, машина не завелась",
        "нет черных картриджей", "роман с системой не сложился", "волк на логотипе не того цвета",
        "был ли договор, неясно", "ул. гоголя, 5 - адрес неверный", 'акт от ооо "вера" без печати',
        "накладная № 4512 от 03.02 потеряна", "инн 7707083893 указан с ошибкой", "гост 12.2.003 не соблюден",
        "дали 2 часа вместо 3 дней", "файл report_v2.xlsx битый", "цена 1 250 000 руб. без ндс",
    ],
)  # fmt: skip
def test_comments_that_name_nobody_stay(text: str) -> None:
    for spelt in (text, text.capitalize()):
        assert _shown(spelt) == text
    assert not REDACTOR.leaks(text)


# --- contacts and self-references


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("пишите на zakupki@firma.org", "E"),
        ("пишите: ivan.p (собака) mail.ru", "E"),
        ("см. https://disk.yandex.ru/d/abc?x=1", "U"),
        ("всё в company.bitrix24.ru/workgroups/7/", "U"),
        ("звоните 8 (912) 345-67-89 доб. 12", "T"),
        ("мой номер 89123456789", "T"),
        ("внутренний 4512", "T"),
        ("пишите @somebody_77", "A"),
        ("дубль задачи 8841", "N"),
        ("смотри #84512", "N"),
        ("см. № 45120", "N"),
        ("в BX-12 то же", "N"),
        ("Я как бухгалтер не могу провести", "R"),
        ("У нас в отделе кадров так нельзя", "R"),
        ("мы в логистике не возим такое", "R"),
        ("как руководитель группы разработки скажу: рано", "R"),
        ("у нас в ВЭД другие формы", "R"),
        ("файл пустой. С уважением, бухгалтерия", "R"),
    ],
)
def test_contacts_and_self_references_are_masked(text: str, kind: str) -> None:
    redaction = REDACTOR.redact(text)
    assert redaction.masked == (kind,)
    assert not any(digit in redaction.text for digit in "0123456789@")
    assert redaction.has_self_reference == redaction.needs_review == (kind == "R") or redaction.share > 0.4


def test_a_colleagues_post_is_no_self_reference() -> None:
    for text in ("она как бухгалтер должна знать", "отправил в бухгалтерию", "как правило, срок мал", "я как все"):
        assert not REDACTOR.redact(text).has_self_reference


def test_a_comment_of_little_but_names_goes_to_review() -> None:
    assert REDACTOR.redact("Никитенко Глеб Вадимович не смог").needs_review
    assert not REDACTOR.redact("Никитенко не прислал исходные данные к договору").needs_review


# --- the look of a masked comment


def test_a_mask_tells_neither_kind_nor_length() -> None:
    assert _shown("Ким молчит") == _shown("Ким Наталия Андреевна молчит") == _shown("n.kim@firma.ru молчит")


def test_spelling_is_nobodys() -> None:
    assert _shown("НЕТ   макета!!!! 😡 :))  «совсем»…") == _shown('нет макета! "совсем".')


@settings(max_examples=70, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["Вера", "мороз", "Волк", "ВОЛК", "Никитенко", "глеб", "Л.", "А", "не", "ответил", "у", "в", "и", "ТЗ", ",",
             ".", "—", "«", "»", "[…]", "(", ")", "№ 4512", "задача", "бухгалтерия", "я как", "роман",
             "Лев", "😀", "a.lee", "http://x.ru", "\n"]
        ),
        max_size=9,
    ).map(" ".join)
)  # fmt: skip
def test_what_is_masked_stays_masked_and_nothing_more_is_found(text: str) -> None:
    shown = _shown(text)
    assert _shown(shown) == shown


@settings(max_examples=70, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    redaction = REDACTOR.redact(text)
    assert 0 <= redaction.share <= 1
    assert "\n" not in redaction.text


def test_texts_are_redacted_once_and_in_their_order() -> None:
    shown = REDACTOR.redact_all(["Ким молчит", "нет ТЗ", "Ким молчит"])
    assert [redaction.text for redaction in shown] == ["[…] молчит", "нет тз", "[…] молчит"]
    assert shown[0] is shown[2]


# --- the last look


@pytest.mark.parametrize(
    "text",
    ["никитенко молчит", "нет данных от щеголева", "вера мороз молчит", "спросил ивана@x", "ссылка https://x",
     "nikitenko", "звоните +7 912 345-67-89", "отникитенко ничего", "мамин-сибиряк", "с.никитенко"],
)  # fmt: skip
def test_a_name_left_in_a_finished_text_is_found(text: str) -> None:
    assert REDACTOR.leaks(text)


@pytest.mark.parametrize("text", ["[…] не ответил", "вера в сроки потеряна", "мороз и снег", "нет тз, нет макета", ""])
def test_a_finished_text_without_names_passes(text: str) -> None:
    assert not REDACTOR.leaks(text)


# --- the list of employees


def test_without_employees_nothing_is_redacted() -> None:
    with pytest.raises(RedactionError, match="empty"):
        Redactor([])
    with pytest.raises(RedactionError, match="empty"):
        Redactor([Employee(1, " ", "", "", "", "login")])


def test_a_list_older_than_a_day_is_refused() -> None:
    today = date(2026, 11, 23)
    assert Redactor.build(PEOPLE[:1], seen_on=today - timedelta(days=1), today=today).leaks("кравец")
    with pytest.raises(RedactionError, match="2026-11-21"):
        Redactor.build(PEOPLE[:1], seen_on=today - timedelta(days=2), today=today)


# --- the second net


def test_the_second_net_adds_what_no_list_knows() -> None:
    def net(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[(text.index("Абырвалг"), text.index("Абырвалг") + 8)] if "Абырвалг" in text else [] for text in texts]

    text = "Мастера зовут Абырвалг, Ким не знала"
    both = Redactor(PEOPLE, ner=net).redact_all([text, "нет ТЗ"])
    assert [redaction.text for redaction in both] == ["мастера зовут […], […] не знала", "нет тз"]
    assert both[0].masked == ("Q", "P")


def test_the_second_net_does_not_make_names_of_first_words() -> None:
    redactor = Redactor(PEOPLE, ner=lambda texts: [[(0, 7)] for _ in texts])
    assert redactor.redact("Бережная упаковка не прописана").text.startswith("[…]ая") is False


def test_without_the_extra_there_is_no_second_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert ner.load() is None


# --- marked sets

FLOORS = {"a": (0, 0.10), "held_b": (3, 0.10), "held_c": (22, 0.34), "held_d": (3, 0.15)}
"""Comments that may leak, share of clean ones that may be touched. The held sets were written by authors who had not
seen the rules, and the rules were made without them; c is meant to be nasty."""


@pytest.mark.parametrize("name", FLOORS)
def test_marked_comments_do_not_leak_and_clean_ones_are_spared(name: str) -> None:
    redactor = Redactor(read_employees(DATA / f"redaction_{name}.tsv"))
    figures = evaluate(read_marked(DATA / f"redaction_{name}.txt"), redactor)
    leaking, touched = FLOORS[name]
    assert int(str(figures["leaking"])) <= leaking
    assert float(str(figures["clean_touched"])) <= touched * float(str(figures["clean_comments"]))
