"""Contracts: every shape a portal answers in is read, or refused without a word about anybody."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sources.contracts import (
    RATING_COLUMNS,
    STUB_COLUMNS,
    ContractBrokenError,
    Department,
    FieldDefinition,
    FieldMap,
    Process,
    Profile,
    Status,
    Task,
    User,
    parse_records,
    ratings_table,
    read_score,
    stubs_table,
)

MOSCOW = ZoneInfo("Europe/Moscow")
SECRET = "Ковалёва-7731"
"""Stands for personal data: no message may repeat it."""

OPTIONS = [
    {"ID": "71", "VALUE": "5 — отлично"},
    {"ID": 72, "VALUE": " Так себе "},
    {"ID": "73", "VALUE": "без числа"},
    {"ID": "74", "VALUE": "4 из 5"},
    {"ID": "75", "VALUE": "&quot;4&quot;&nbsp;"},
    {"ID": "76", "VALUE": ""},
]
KINDS = {
    "integer": FieldDefinition(type="integer"),
    "string": FieldDefinition(type="string"),
    "enumeration": FieldDefinition.model_validate({"type": "enumeration", "items": OPTIONS}),
}

# --- scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", 1, 1),
        ("integer", 5, 5),
        ("integer", "5", 5),
        ("integer", 4.0, 4),
        ("integer", [3], 3),
        ("integer", None, "no_score"),
        ("integer", "", "no_score"),
        ("integer", " ", "no_score"),
        ("integer", False, "no_score"),
        ("integer", [], "no_score"),
        ("integer", 0, "score_range"),
        ("integer", "0", "score_range"),
        ("integer", 6, "score_range"),
        ("integer", -3, "score_range"),
        ("integer", 4.5, "score_range"),
        ("integer", True, "score_range"),
        ("integer", [4, 5], "score_range"),
        ("integer", {}, "score_range"),
        ("integer", math.inf, "score_range"),
        ("integer", -math.inf, "score_range"),
        ("integer", math.nan, "score_range"),
        ("enumeration", 71, 5),
        ("enumeration", "71", 5),
        ("enumeration", [71], 5),
        ("enumeration", 72, 3),
        ("enumeration", 75, 4),
        ("enumeration", 73, "score_range"),
        ("enumeration", 74, "score_range"),
        ("enumeration", 76, "score_range"),
        ("enumeration", 5, "score_range"),
        ("enumeration", 999, "score_range"),
        ("enumeration", "abc", "score_range"),
        ("enumeration", 71.0, "score_range"),
        ("enumeration", True, "score_range"),
        ("enumeration", [71, 72], "score_range"),
        ("enumeration", 0, "no_score"),
        ("enumeration", "0", "no_score"),
        ("enumeration", None, "no_score"),
        ("enumeration", "", "no_score"),
        ("enumeration", False, "no_score"),
        ("enumeration", [], "no_score"),
        ("enumeration", [0], "no_score"),
        ("string", "4", 4),
        ("string", " 4 ", 4),
        ("string", "5 - отлично", 5),
        ("string", "Оценка: 3", 3),
        ("string", "3 балла.", 3),
        ("string", "Так себе", 3),
        ("string", " Так себе ", 3),
        ("string", "10 из 10", 5),
        ("string", "", "no_score"),
        ("string", "\t", "no_score"),
        ("string", "4/5", "score_range"),
        ("string", "4,5", "score_range"),
        ("string", "4.0", "score_range"),
        ("string", "4-5", "score_range"),
        ("string", "-3", "score_range"),
        ("string", "\u22123", "score_range"),
        ("string", "0", "score_range"),
        ("string", "10", "score_range"),
        ("string", "05 06", "score_range"),
        ("string", "отлично", "score_range"),
        ("string", "так себе", "score_range"),
    ],
)
def test_a_score_is_read_from_what_the_field_holds(kind: str, value: object, expected: int | str) -> None:
    score, problem = read_score(value, KINDS[kind], {"Так себе": 3, "10 из 10": 5})
    assert (score if score is not None else problem) == expected
    assert (score is None) == (problem != "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(json_values, st.sampled_from(sorted(KINDS)))
def test_whatever_a_field_holds_is_a_score_of_the_scale_or_named_as_none(value: object, kind: str) -> None:
    score, problem = read_score(value, KINDS[kind], {})
    assert (score in {1, 2, 3, 4, 5} and problem == "") or (score is None and problem in {"no_score", "score_range"})


@given(st.integers(1, 5), st.from_regex(r"[^\d]*[a-zа-я :]", fullmatch=True), st.from_regex(r"[a-zа-я !]*"))
def test_words_around_the_only_number_do_not_matter(score: int, before: str, after: str) -> None:
    text = f"{before}{score} {''.join(char for char in after if not char.isdigit())}"
    assert read_score(text, KINDS["string"], {}) == (score, "")


# --- records ------------------------------------------------------------------------------------------------------


def test_a_user_is_read_with_its_first_department_first() -> None:
    (user,) = parse_records(
        User,
        [
            {
                "ID": "7",
                "ACTIVE": False,
                "NAME": " Анна ",
                "LAST_NAME": "Ким",
                "SECOND_NAME": "",
                "WORK_POSITION": "Дизайнер",
                "UF_DEPARTMENT": [15, "7"],
                "TIMESTAMP_X": {},
            }
        ],
        "user.get",
    )
    assert (user.id, user.is_active, user.full_name, user.departments) == (7, False, "Ким Анна", [15, 7])
    assert user.position == "Дизайнер"


@pytest.mark.parametrize("departments", [[], None, False, {}])
def test_every_way_php_writes_no_department_is_none(departments: object) -> None:
    (user,) = parse_records(User, [{"ID": 7, "UF_DEPARTMENT": departments}], "user.get")
    assert (user.departments, user.is_active, user.full_name) == ([], True, "")


def test_the_root_department_has_no_parent() -> None:
    root, child = parse_records(
        Department,
        [{"ID": "1", "NAME": "Компания"}, {"ID": "2", "NAME": "Продажи", "PARENT": "1", "UF_HEAD": "7"}],
        "department.get",
    )
    assert (root.parent_id, root.head_employee_id) == (0, 0)
    assert (child.parent_id, child.head_employee_id) == (1, 7)


@pytest.mark.parametrize("none", [None, "", 0, "0"])
def test_every_way_a_portal_writes_nobody_is_zero(none: object) -> None:
    (task,) = parse_records(Task, [{"id": "9", "createdBy": none, "responsibleId": "4"}], "tasks.task.list")
    assert (task.setter_id, task.executor_id) == (0, 4)


@pytest.mark.parametrize("items", [[], {}, None, False])
def test_a_field_without_options_has_none(items: object) -> None:
    (field,) = parse_records(FieldDefinition, [{"type": "enumeration", "items": items}], "crm.item.fields")
    assert field.option_texts() == {}


def test_options_are_read_without_entities_and_blanks() -> None:
    assert KINDS["enumeration"].option_texts()[75] == '"4"'


@pytest.mark.parametrize(
    ("model", "records", "named"),
    [
        (User, [{"ID": SECRET}], "ID"),
        (User, [{"ID": "0"}], "ID"),
        (User, [{"ID": True}], "ID"),
        (User, [{"LAST_NAME": SECRET}], "ID"),
        (User, [{"ID": "1", "LAST_NAME": [SECRET]}], "LAST_NAME"),
        (User, [{"ID": "1"}, {"ID": "2", "UF_DEPARTMENT": [SECRET]}], "UF_DEPARTMENT.0"),
        (User, [SECRET], "record"),
        (User, [None], "record"),
        (Department, [{"ID": "1"}], "NAME"),
        (Department, [{"ID": "1", "NAME": SECRET, "PARENT": {"a": SECRET}}], "PARENT"),
        (Task, [{"id": "1", "createdBy": SECRET}], "createdBy"),
        (Status, [{"SEMANTICS": SECRET}], "STATUS_ID"),
        (FieldDefinition, [{"type": "enumeration", "items": [{"ID": "1", "VALUE": [SECRET]}]}], "items.0.VALUE"),
        (User, {"0": {"ID": SECRET}}, "dict"),
        (User, {}, "dict"),
        (User, None, "NoneType"),
        (User, SECRET, "str"),
        (User, False, "bool"),
    ],
)
def test_a_broken_envelope_names_method_and_field_and_no_value(
    model: type[BaseModel], records: object, named: str
) -> None:
    with pytest.raises(ContractBrokenError) as refusal:
        parse_records(model, records, "some.method")
    message = str(refusal.value)
    assert "some.method" in message
    assert named in message
    assert SECRET not in message
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)


def test_no_records_are_no_mistake() -> None:
    assert parse_records(User, [], "user.get") == []


# --- elements to ratings ------------------------------------------------------------------------------------------

FIELDS = {"score": "ufScore", "comment": "ufComment", "rater": "ufRater", "ratee": "assignedById"}
DEFINITIONS = {
    "ufScore": KINDS["integer"],
    "ufReason": FieldDefinition.model_validate(
        {"type": "enumeration", "items": [{"ID": "1", "VALUE": "Сроки"}, {"ID": "2", "VALUE": "Бриф &amp; файлы"}]}
    ),
}


def process(cadence: str = "task", **more: str) -> Process:
    occasion = {"task": "ufTask"} if cadence == "task" else {"period": "ufPeriod"}
    return Process.model_validate(
        {
            "key": "work",
            "title": "Работа",
            "entity_type_id": 130,
            "cadence": cadence,
            "fields": FIELDS | occasion | more,
        }
    )


def item(**values: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "createdTime": "2026-04-15T12:00:00+03:00",
        "updatedTime": "2026-04-16T12:00:00+03:00",
        "stageId": "DT130_1:SUCCESS",
        "ufScore": 5,
        "ufComment": None,
        "ufRater": 30,
        "assignedById": "20",
        "ufTask": 500,
        "ufPeriod": "2026-04-01T03:00:00+03:00",
    } | values


def rows(*items: Any, cadence: str = "task", **more: str) -> list[dict[str, Any]]:
    table = ratings_table(process(cadence, **more), items, DEFINITIONS, {"FAIL"}, MOSCOW)
    assert table.schema.equals(RATING_COLUMNS)
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def only(cadence: str = "task", **values: Any) -> dict[str, Any]:
    (row,) = rows(item(**values), cadence=cadence)
    return row


def test_an_element_becomes_a_row() -> None:
    assert only() == {
        "process_key": "work",
        "rating_id": 1,
        "period": date(2026, 4, 1),
        "created_at": datetime(2026, 4, 15, 9, tzinfo=UTC),
        "updated_at": datetime(2026, 4, 16, 9, tzinfo=UTC),
        "rated_on": date(2026, 4, 15),
        "is_period_invalid": False,
        "stage_id": "SUCCESS",
        "is_failure_stage": False,
        "score": 5,
        "score_problem": "",
        "comment": "",
        "reason": "",
        "rater_id": 30,
        "ratee_id": 20,
        "task_id": 500,
        "task_setter_id": 0,
        "task_executor_id": 0,
        "task_title": "",
        "is_deleted": False,
    }


@pytest.mark.parametrize("cadence", ["task", "month"])
def test_no_elements_become_a_table_without_rows(cadence: str) -> None:
    assert rows(cadence=cadence) == []


def test_rows_keep_the_order_of_the_elements() -> None:
    items = [item(id=number, ufScore=score) for number, score in ((9, 1), (3, "2"), (5, None), (4, 2))]
    found = [(row["rating_id"], row["score"], row["score_problem"]) for row in rows(*items)]
    assert found == [(9, 1, ""), (3, 2, ""), (5, None, "no_score"), (4, 2, "")]


@pytest.mark.parametrize(
    ("created", "day", "month"),
    [
        ("2026-04-30T20:59:59+00:00", date(2026, 4, 30), date(2026, 4, 1)),
        ("2026-04-30T21:00:00+00:00", date(2026, 5, 1), date(2026, 5, 1)),
        ("2026-05-01T02:00:00+05:00", date(2026, 5, 1), date(2026, 5, 1)),
        ("2026-05-01T01:59:59+05:00", date(2026, 4, 30), date(2026, 4, 1)),
    ],
)
def test_days_and_months_are_the_portals(created: str, day: date, month: date) -> None:
    row = only(createdTime=created)
    assert (row["rated_on"], row["period"]) == (day, month)


@pytest.mark.parametrize(
    ("written", "period", "is_invalid"),
    [
        ("2026-03-01T03:00:00+03:00", date(2026, 3, 1), False),
        ("2026-03-31T00:00:00+14:00", date(2026, 3, 1), False),
        ("2026-04-30T03:00:00+03:00", date(2026, 4, 1), False),
        ("2020-01-01", date(2020, 1, 1), False),
        ("2019-12-31T03:00:00+03:00", date(2026, 4, 1), True),
        ("0001-01-01T00:00:00+03:00", date(2026, 4, 1), True),
        ("2026-05-01T03:00:00+03:00", date(2026, 4, 1), True),
        ("9999-12-31T03:00:00+03:00", date(2026, 4, 1), True),
        ("", date(2026, 4, 1), False),
        (None, date(2026, 4, 1), False),
        ([], date(2026, 4, 1), False),
    ],
)
def test_a_monthly_rating_belongs_to_the_month_it_names_if_that_can_be(
    written: object, period: date, is_invalid: bool
) -> None:
    row = only("month", ufPeriod=written)
    assert (row["period"], row["is_period_invalid"]) == (period, is_invalid)


def test_a_task_rating_belongs_to_the_month_it_was_made_in_whatever_its_date_field_says() -> None:
    (row,) = rows(item(ufPeriod="2026-01-01"), period="ufPeriod")
    assert (row["period"], row["is_period_invalid"]) == (date(2026, 4, 1), False)


@pytest.mark.parametrize(
    ("value", "person"),
    [(30, 30), ("30", 30), ([30, 31], 30), (["30"], 30), (0, 0), (None, 0), ("", 0), ([], 0), ([None], 0)],
)
def test_every_way_a_person_is_written_is_an_id_or_nobody(value: object, person: int) -> None:
    assert (only(ufRater=value)["rater_id"], only(assignedById=value)["ratee_id"]) == (person, person)


@pytest.mark.parametrize(
    ("value", "task"),
    [
        (17, 17),
        ("17", 17),
        (" 17 ", 17),
        ("T_17", 17),
        (["T_17", "T_18"], 17),
        ([], 0),
        (None, 0),
        ("", 0),
        (0, 0),
        ("D_17", 0),
        (-17, 0),
        ("9" * 19, 0),
    ],
)
def test_every_way_a_task_is_written_is_an_id_or_none(value: object, task: int) -> None:
    assert only(ufTask=value)["task_id"] == task


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1, "Сроки"),
        ("2", "Бриф & файлы"),
        ([1, 2], "Сроки\nБриф & файлы"),
        ([], ""),
        (None, ""),
        (0, ""),
        (99, ""),
        ("другое", ""),
        ([99, "1"], "Сроки"),
    ],
)
def test_reasons_are_the_texts_of_the_options_that_exist(value: object, reason: str) -> None:
    (row,) = rows(item(ufReason=value), reason="ufReason")
    assert row["reason"] == reason


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), ([], ""), ({}, ""), (0, "0"), ("Нет макета\n", "Нет макета\n"), ("\ud800!", "?!")]
)
def test_a_comment_is_kept_as_written(value: object, text: str) -> None:
    assert only(ufComment=value)["comment"] == text


@pytest.mark.parametrize(
    ("stage", "name", "failed"),
    [("DT130_1:FAIL", "FAIL", True), ("FAIL", "FAIL", True), ("DT130_1:NEW", "NEW", False), (None, "", False)],
)
def test_stages_lose_their_prefix(stage: object, name: str, failed: bool) -> None:
    row = only(stageId=stage)
    assert (row["stage_id"], row["is_failure_stage"]) == (name, failed)


@pytest.mark.parametrize(
    ("name", "cadence"),
    [(name, "task") for name in ("ufScore", "ufComment", "ufRater", "assignedById", "ufTask")]
    + [("ufPeriod", "month")],
)
def test_a_mapped_field_that_does_not_come_back_is_no_empty_field(name: str, cadence: str) -> None:
    without = {key: value for key, value in item().items() if key != name}
    for elements in ([without], [item(), without], [without, item()]):
        with pytest.raises(ContractBrokenError, match=rf"without the field {name}: check fields\."):
            rows(*elements, cadence=cadence)


@pytest.mark.parametrize("spelling", ["UF_SCORE", "ufscore", "uf_Score", "UF_CRM_7_RATING"])
def test_a_field_that_comes_back_under_its_original_name_is_read(spelling: str) -> None:
    renamed = {spelling if key == "ufScore" else key: value for key, value in item().items()}
    score = FieldDefinition.model_validate({"type": "integer", "upperName": "UF_CRM_7_RATING"})
    table = ratings_table(process(), [renamed, renamed | {"id": 2}], DEFINITIONS | {"ufScore": score}, (), MOSCOW)
    assert table.column("score").to_pylist() == [5, 5]


def test_a_field_that_could_be_either_of_two_is_refused_by_name() -> None:
    renamed = {key: value for key, value in item().items() if key != "ufScore"}
    with pytest.raises(ContractBrokenError, match="without the field ufScore"):
        rows(renamed | {"UF_SCORE": 3, "ufSCORE": 5})


def test_stubs_put_elements_into_the_same_months_as_ratings_do() -> None:
    elements = [
        item(id=number, ufPeriod=named)
        for number, named in enumerate(["2026-03-01", "2026-05-01", "2019-12-01", None, "", "x", "2026-04-30"], start=1)
    ]
    for cadence in ("task", "month"):
        stubs = stubs_table(process(cadence), elements, MOSCOW)
        assert stubs.schema.equals(STUB_COLUMNS)
        whole = ratings_table(process(cadence), elements, DEFINITIONS, (), MOSCOW)
        assert stubs.to_pylist() == whole.select(STUB_COLUMNS.names).to_pylist()


def test_a_stub_without_the_field_of_its_month_is_refused() -> None:
    bare = {name: item()[name] for name in ("id", "createdTime", "updatedTime")}
    assert stubs_table(process(), [bare], MOSCOW).column("period").to_pylist() == [date(2026, 4, 1)]
    with pytest.raises(ContractBrokenError, match="without the field ufPeriod"):
        stubs_table(process("month"), [bare], MOSCOW)


@pytest.mark.parametrize(
    ("written", "expected"),
    [(True, True), ("Y", True), ("1", True), (1, True), ("true", True),
     (False, False), ("N", False), ("0", False), (0, False), ("false", False)],
)  # fmt: skip
def test_whoever_works_here_is_told_in_any_of_the_portals_ways(written: object, expected: bool) -> None:
    (user,) = parse_records(User, [{"ID": "7", "ACTIVE": written}], "user.get")
    assert user.is_active is expected
    (profile,) = parse_records(Profile, [{"ID": "7", "ADMIN": written}], "profile")
    assert (profile.id, profile.is_admin) == (7, expected)


@pytest.mark.parametrize("written", ["", None, "perhaps", 2, [], {}])
def test_a_flag_that_says_neither_is_refused(written: object) -> None:
    with pytest.raises(ContractBrokenError, match=r"user\.get returned a record whose ACTIVE"):
        parse_records(User, [{"ID": "7", "ACTIVE": written}], "user.get")


@pytest.mark.parametrize("name", ["id", "createdTime", "updatedTime"])
def test_an_element_without_its_own_columns_is_refused_by_name(name: str) -> None:
    broken = item(ufComment=SECRET)
    del broken[name]
    with pytest.raises(ContractBrokenError, match=name):
        rows(item(), broken)


@pytest.mark.parametrize("cadence", ["task", "month"])
@pytest.mark.parametrize(
    "values",
    [
        {"createdTime": None},
        {"createdTime": ""},
        {"updatedTime": None},
        {"createdTime": SECRET},
        {"createdTime": 1776243600},
        {"updatedTime": []},
        {"id": None},
        {"id": SECRET},
        {"id": 10**30},
        {"id": []},
        {"ufRater": SECRET},
        {"ufRater": {"a": SECRET}},
        {"ufRater": True},
        {"ufRater": 1.5},
        {"ufRater": [[SECRET]]},
        {"assignedById": 10**30},
    ],
    ids=str,
)
def test_an_element_that_cannot_be_read_is_refused_without_a_value(cadence: str, values: dict[str, Any]) -> None:
    with pytest.raises(ContractBrokenError) as refusal:
        rows(item(), item(ufComment=SECRET, **values), cadence=cadence)
    assert "crm.item.list" in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None)


@pytest.mark.parametrize("element", [None, [], SECRET, 7])
def test_an_element_that_is_no_record_is_refused(element: object) -> None:
    with pytest.raises(ContractBrokenError) as refusal:
        rows(item(), element)
    assert SECRET not in str(refusal.value)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(item())), json_values, st.sampled_from(["task", "month"]))
@example("createdTime", None, "month")
@example("ufScore", math.inf, "task")
def test_any_value_in_any_field_becomes_a_whole_row_or_a_refusal(name: str, value: object, cadence: str) -> None:
    try:
        (row,) = rows(item(**{name: value}), cadence=cadence)
    except ContractBrokenError:
        return
    assert [column.name for column in RATING_COLUMNS if not column.nullable and row[column.name] is None] == []
    pa.Table.from_pylist([row], RATING_COLUMNS).validate(full=True)


# --- configuration of a process -----------------------------------------------------------------------------------


def test_a_monthly_process_without_a_period_field_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"fields\.period"):
        Process(key="work", title="", entity_type_id=1, cadence="month", fields=FieldMap(**FIELDS))


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "Work"},
        {"key": "a b"},
        {"key": ""},
        {"score_values": {"Отлично": 6}},
        {"comment_required_below": 7},
        {"comment_required_below": 0},
        {"cadence": "week"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_process_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Process.model_validate(process().model_dump() | wrong)


def test_only_mapped_fields_are_asked_for() -> None:
    assert process().fields.names() == FIELDS | {"task": "ufTask"}
