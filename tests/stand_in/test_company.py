"""The company that the stand-in portal serves: the same every time, in the portal's shapes, never ahead of time."""

import re
from collections import Counter
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import yaml

from assets.rules.comments import judge
from sources.stand_in import company, phrases
from sources.stand_in.state import MOSCOW, PortalState, Record, SmartProcess
from sources.stand_in.truth import TruthRow, rating_truth

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=MOSCOW)
CODES = {
    "duplicate": "duplicate_rating",
    **{
        code: code
        for code in (
            "no_score",
            "score_range",
            "no_rater",
            "no_ratee",
            "unknown_rater",
            "self_rating",
            "wrong_direction",
            "out_of_window",
            "stage_not_counted",
        )
    },
}
MODES = ("open", "named_to_hr", "pseudonymous", "aggregate", "department_only")


@cache
def made(seed: int, scale: company.Scale) -> PortalState:
    """A company that many tests look at and none changes."""
    return company.generate(seed, scale, NOW)


@pytest.fixture(scope="module")
def demo() -> PortalState:
    return made(1, "demo")


@pytest.fixture(scope="module")
def tiny() -> PortalState:
    return made(1, "tiny")


@pytest.fixture(scope="module")
def truth(demo: PortalState) -> list[TruthRow]:
    return rating_truth(demo)


def moments(value: Any) -> list[datetime]:
    """Every date and time in a record, however deep."""
    if isinstance(value, dict):
        return [moment for part in value.values() for moment in moments(part)]
    if isinstance(value, list):
        return [moment for part in value for moment in moments(part)]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", value):
        return [datetime.fromisoformat(value)]
    return []


def below(state: PortalState, department: int) -> set[int]:
    """A department and its sub-departments."""
    inside = {department}
    for _ in state.departments:
        inside |= {n for n, row in state.departments.items() if int(row.get("PARENT", 0)) in inside}
    return inside


def test_the_configuration_is_plain_yaml(demo: PortalState) -> None:
    assert yaml.safe_load(yaml.safe_dump(demo.config, allow_unicode=True)) == demo.config
    assert set(demo.config) == {"portal", "processes", "policies", "release", "decisions"}


def mode_of(state: PortalState, row: TruthRow) -> str:
    """The mode of the policy that was in force when the rating was given."""

    def matches(policy: Record) -> bool:
        pairs = (
            (policy["rater_department"], row.rater_department_id),
            (policy["ratee_department"], row.ratee_department_id),
        )
        known = all(wanted == "*" or have in below(state, wanted) for wanted, have in pairs)
        return policy["process"] == row.process_key and known and policy["valid_from"] <= str(row.rated_on)

    fitting = [policy for policy in state.config["policies"] if matches(policy)]
    if not fitting:
        return "aggregate"
    stars = min(list(policy.values()).count("*") for policy in fitting)
    best = [policy for policy in fitting if list(policy.values()).count("*") == stars]
    keys = {(policy["process"], policy["rater_department"], policy["ratee_department"]) for policy in best}
    assert len(keys) == 1, "two different policies are equally specific"
    return str(max(best, key=lambda policy: policy["valid_from"])["mode"])


@pytest.mark.parametrize("scale", ["tiny", "demo"])
def test_the_same_seed_scale_and_clock_make_the_same_company(scale: company.Scale) -> None:
    assert company.generate(2, scale, NOW) == made(2, scale)


def test_another_seed_makes_another_company(tiny: PortalState) -> None:
    assert made(2, "tiny") != tiny


@pytest.mark.parametrize("scale", ["tiny", "demo"])
@pytest.mark.parametrize(
    "now",
    [
        NOW,
        datetime(2026, 11, 1, 0, 30, tzinfo=MOSCOW),
        pytest.param(datetime(2024, 2, 29, 23, 59, tzinfo=MOSCOW), marks=pytest.mark.slow),
        pytest.param(datetime(2026, 1, 9, 11, 0, tzinfo=MOSCOW), marks=pytest.mark.slow),
    ],
)
def test_nothing_is_later_than_the_clock(scale: company.Scale, now: datetime) -> None:
    state = made(2, scale) if now == NOW else company.generate(2, scale, now)
    records = [*state.users.values(), *state.tasks.values()]
    records += [item for process in state.processes.values() for item in process.items.values()]
    assert max(moments(records)) <= now
    assert state.now == now


def test_without_a_clock_the_hosts_is_taken() -> None:
    before = datetime.now(MOSCOW) - timedelta(seconds=1)
    assert before <= company.generate(1, "tiny").now <= datetime.now(MOSCOW)


def test_a_naive_clock_is_portal_time() -> None:
    assert company.generate(1, "tiny", NOW.replace(tzinfo=None)) == made(1, "tiny")


def test_twelve_months_end_with_the_month_of_the_clock(truth: list[TruthRow]) -> None:
    periods = sorted({row.period for row in truth})
    assert periods == [date(2025, 12, 1)] + [date(2026, month, 1) for month in range(1, 12)]
    assert 5000 <= len(truth) <= 8000
    by_month = Counter(row.period for row in truth)
    assert by_month[date(2025, 12, 1)] > by_month[date(2026, 3, 1)] > by_month[date(2026, 1, 1)]


def test_the_tiny_company_can_be_counted_by_hand(tiny: PortalState) -> None:
    assert 60 <= len(rating_truth(tiny)) <= 200
    staffed = [row for row in tiny.departments.values() if "PARENT" in row]
    assert len(staffed) == 3
    assert {process["cadence"] for process in tiny.config["processes"]} == {"task", "month"}


def test_the_company_is_as_large_as_it_says(demo: PortalState) -> None:
    people = [row for row in demo.users.values() if row["USER_TYPE"] == "employee" and row["ACTIVE"]]
    assert len(people) == 150 + 1, "the staff and the administrator"
    assert sum(not row["ACTIVE"] for row in demo.users.values()) == 5
    assert sum(len(row["UF_DEPARTMENT"]) == 2 for row in demo.users.values()) == 4
    names = [(row["LAST_NAME"], row["NAME"], row["SECOND_NAME"]) for row in demo.users.values()]
    assert len(set(names)) == len(names)


def test_departments_are_a_tree_of_three_levels(demo: PortalState) -> None:
    def depth(number: int) -> int:
        parent = demo.departments[number].get("PARENT")
        return 1 + depth(int(parent)) if parent else 0

    assert max(depth(number) for number in demo.departments) == 3
    assert [number for number, row in demo.departments.items() if "PARENT" not in row] == [1]
    assert all(int(row["UF_HEAD"]) in demo.users for row in demo.departments.values() if "UF_HEAD" in row)


@pytest.mark.parametrize(("scale", "seed"), [("tiny", 1), ("tiny", 2), ("tiny", 3), ("demo", 1), ("demo", 2)])
def test_every_planted_case_is_excluded_for_what_it_is(scale: company.Scale, seed: int) -> None:
    state = made(seed, scale)
    rows = rating_truth(state)
    wanted = company.TINY_EVENTS if scale == "tiny" else company.DEMO_EVENTS
    for event, code in CODES.items():
        found = {(row.process_key, row.rating_id) for row in rows if row.exclusion_code == code}
        assert found == set(state.planted[event]), event
        assert len(found) == wanted[event], event
    unexplained = {(r.process_key, r.rating_id) for r in rows if r.exclusion_code == "unexplained"}
    assert unexplained
    assert unexplained <= {*state.planted["comment_junk"]}
    assert {row.exclusion_code for row in rows} == {"", "unexplained", *CODES.values()}


@pytest.mark.parametrize(
    ("event", "level", "rule"),
    [
        ("comment_title_copy", "violation", "title_copy"),
        ("comment_profanity", "violation", "profanity_only"),
        ("comment_contradiction", "weak", "contradiction"),
        ("comment_copy_paste", "weak", "copy_paste"),
    ],
)
def test_planted_comments_carry_their_rule(
    demo: PortalState, truth: list[TruthRow], event: str, level: str, rule: str
) -> None:
    found = {
        (row.process_key, row.rating_id) for row in truth if (row.comment_level, row.comment_rule) == (level, rule)
    }
    assert len(demo.planted[event]) == company.DEMO_EVENTS.get(event, len(demo.planted[event])) >= 3
    assert set(demo.planted[event]) <= found


def test_one_rater_pastes_one_reason_to_several_people_within_ninety_days(
    demo: PortalState, truth: list[TruthRow]
) -> None:
    places = set(demo.planted["comment_copy_paste"])
    rows = [row for row in truth if (row.process_key, row.rating_id) in places]
    assert len({(row.rater_id, row.comment) for row in rows}) == 1
    assert len({row.ratee_id for row in rows}) >= 2
    days = [row.rated_on for row in rows]
    assert max(days) - min(days) < timedelta(days=90)


def test_every_level_of_comments_is_there_and_only_low_scores_have_one(truth: list[TruthRow]) -> None:
    rules = {(row.comment_level, row.comment_rule) for row in truth}
    assert rules >= {("ok", ""), *(("violation", rule) for rule in phrases.JUNK), ("weak", "no_reason")}
    assert all(row.comment_level == "ok" for row in truth if row.score in (5, None))


def test_a_few_tasks_have_an_accomplice_who_is_neither_setter_nor_executor(demo: PortalState) -> None:
    helped = [row for row in demo.tasks.values() if row["accomplices"]]
    assert 0.01 < len(helped) / len(demo.tasks) < 0.03
    for row in helped:
        assert all(int(person) in demo.users for person in row["accomplices"])
        assert not {row["createdBy"], row["responsibleId"]} & set(row["accomplices"])


@pytest.mark.parametrize("scale", ["tiny", "demo"])
def test_one_monthly_process_asks_for_two_tasks(scale: company.Scale) -> None:
    processes = made(1, scale).config["processes"]
    wanted = [process for process in processes if process.get("tasks", {}).get("min_tasks")]
    assert [(process["cadence"], process["tasks"]["min_tasks"]) for process in wanted] == [("month", 2)]
    assert [process["key"] for process in processes if "tasks" not in process] == ["salary_back"] * (scale == "demo")


def test_all_five_modes_hold_ratings(demo: PortalState, truth: list[TruthRow]) -> None:
    modes = Counter(mode_of(demo, row) for row in truth)
    assert set(modes) == set(MODES)
    assert min(modes.values()) > 100


def test_the_pseudonymous_threshold_can_be_met(demo: PortalState, truth: list[TruthRow]) -> None:
    raters: dict[tuple[date, int, int], set[int]] = {}
    for row in truth:
        if mode_of(demo, row) == "pseudonymous":
            key = (row.period, row.rater_department_id, row.ratee_department_id)
            raters.setdefault(key, set()).add(row.rater_id)
    assert sum(len(found) >= 10 for found in raters.values()) >= 12


def test_scores_have_the_usual_shares(truth: list[TruthRow]) -> None:
    scores = Counter(row.score for row in truth if row.score)
    assert scores[5] / scores.total() == pytest.approx(0.70, abs=0.01)
    assert scores[4] / scores.total() == pytest.approx(0.17, abs=0.01)


def test_the_setter_is_rated_by_the_executor_of_the_linked_task(demo: PortalState, truth: list[TruthRow]) -> None:
    linked = [row for row in truth if row.task_id and row.exclusion_code == ""]
    assert len(linked) > 4000
    for row in linked:
        task = demo.tasks[row.task_id]
        assert (int(task["createdBy"]), int(task["responsibleId"])) == (row.ratee_id, row.rater_id)
        assert task["status"] == "5"


def test_some_ratings_cross_departments(demo: PortalState, truth: list[TruthRow]) -> None:
    setters, executors = below(demo, company.ACCOUNTS), below(demo, company.PRODUCTION)
    rows = [row for row in truth if row.process_key == "production" and row.exclusion_code == ""]
    across = [row for row in rows if row.ratee_department_id not in setters or row.rater_department_id not in executors]
    assert 0.08 < len(across) / len(rows) < 0.17


def test_low_scores_hold_identifiers_that_a_leak_test_can_look_for(demo: PortalState) -> None:
    comments = {(row.process_key, row.rating_id): row for row in rating_truth(demo)}
    for kind in phrases.IDENTIFIERS:
        found = [comments[place] for place in demo.planted[f"identifier_{kind}"]]
        assert len(found) == 10
        assert all(row.score is not None and row.score < 5 for row in found)
    texts = [comments[place].comment for place in demo.planted["identifier_phone"]]
    phones = {row["PERSONAL_MOBILE"] for row in demo.users.values()}
    assert all(any(phone in text for phone in phones if phone) for text in texts)


def test_long_ids_have_ranges_of_their_own(demo: PortalState, truth: list[TruthRow]) -> None:
    state = company.generate(1, "demo", NOW, long_ids=True)
    items = [number for process in state.processes.values() for number in process.items]
    for numbers, first in ((state.users, "7"), (state.tasks, "8"), (items, "9")):
        assert all(len(str(number)) == 9 and str(number)[0] == first for number in numbers)
    assert state.webhook_user in state.users
    assert [row.score for row in rating_truth(state)] == [row.score for row in truth]
    assert len(state.tasks) == len(demo.tasks)


def test_ids_of_elements_rise_with_time_repeat_across_processes_and_have_gaps(demo: PortalState) -> None:
    for process in demo.processes.values():
        items = list(process.items.values())
        assert all(a["id"] < b["id"] and a["createdTime"] <= b["createdTime"] for a, b in pairwise(items))
        assert min(process.items) <= 2
        assert len(items) < max(process.items) < 1.3 * len(items)
        assert process.next_id == max(process.items) + 1


def test_elements_have_the_shape_of_crm_item_list(demo: PortalState) -> None:
    for number, process in demo.processes.items():
        keys = {frozenset(item) for item in process.items.values()}
        assert len(keys) == 1
        assert set(process.fields) <= next(iter(keys))
        stages = {row["STATUS_ID"]: row for row in process.statuses}
        for key, item in process.items.items():
            assert item["id"] == key
            assert item["entityTypeId"] == number == process.entity_type_id != process.type_id
            assert item["title"] in (f"Оценка #{key}", f"Решение #{key}")
            assert stages[item["stageId"]]["CATEGORY_ID"] == str(item["categoryId"])
            assert isinstance(item["createdBy"], int)
            assert item["createdTime"] <= item["updatedTime"]


def test_people_departments_and_tasks_hold_strings(demo: PortalState) -> None:
    for number, user in demo.users.items():
        assert user["ID"] == str(number)
        assert isinstance(user["ACTIVE"], bool)
        assert all(department in demo.departments for department in user["UF_DEPARTMENT"])
    for number, department in demo.departments.items():
        assert department["ID"] == str(number)
    for number, task in demo.tasks.items():
        assert task["id"] == str(number)
        assert {int(task["createdBy"]), int(task["responsibleId"])} <= demo.users.keys()
        scalars = [value for value in task.values() if not isinstance(value, list)]
        assert all(value is None or isinstance(value, str) for value in scalars)


def field_of(state: PortalState, key: str, role: str) -> tuple[SmartProcess, Record, str]:
    """A process, the definition of a role's field and its REST name."""
    entry = next(entry for entry in state.config["processes"] if entry["key"] == key)
    process = state.processes[entry["entity_type_id"]]
    name = entry["fields"][role]
    return process, process.fields[name], name


def test_the_configuration_names_fields_that_exist(demo: PortalState) -> None:
    for entry in demo.config["processes"]:
        process = demo.processes[entry["entity_type_id"]]
        assert set(entry["fields"].values()) <= set(process.fields)
        assert ("period" in entry["fields"]) == (entry["cadence"] == "month")
        assert ("task" in entry["fields"]) == (entry["cadence"] == "task")
        groups = {task["groupId"] for task in demo.tasks.values()}
        assert str(entry.get("tasks", {"group_id": 11})["group_id"]) in groups
    assert {field_of(demo, entry["key"], "score")[1]["type"] for entry in demo.config["processes"]} == {
        "integer",
        "string",
        "enumeration",
    }


@pytest.mark.parametrize("key", ["production", "contracts"])
def test_enumerations_list_string_ids_and_elements_hold_integers(demo: PortalState, key: str) -> None:
    process, definition, name = field_of(demo, key, "score")
    options = {option["ID"] for option in definition["items"]}
    values = [item[name] for item in process.items.values() if item[name] is not None]
    assert all(isinstance(value, int) and str(value) in options for value in values)


def test_monthly_elements_hold_a_date_in_an_odd_offset(demo: PortalState) -> None:
    process, definition, name = field_of(demo, "salary", "period")
    assert definition["type"] == "date"
    assert all(re.fullmatch(r"\d{4}-\d\d-01T03:00:00\+03:00", item[name]) for item in process.items.values())


def test_edits_are_later_than_the_rating(demo: PortalState) -> None:
    entries = {entry["key"]: entry["entity_type_id"] for entry in demo.config["processes"]}
    edited = [demo.processes[entries[key]].items[number] for key, number in demo.planted["edit"]]
    assert len(edited) > 100
    assert all(item["updatedTime"] > item["createdTime"] for item in edited)


def test_a_committee_has_decided_on_people_who_were_rated_and_once_without_a_reason(demo: PortalState) -> None:
    entry = demo.config["decisions"]
    process, names = demo.processes[entry["entity_type_id"]], entry["fields"]
    assert set(names.values()) <= set(process.fields)
    options = {option["ID"] for option in process.fields[names["decision"]]["items"]}
    made = list(process.items.values())
    assert {str(item[names["decision"]]) for item in made} == options
    assert {item[names["period"]] for item in made} == {"2026-10-01T03:00:00+03:00"}
    assert all({item[names["ratee"]], item[names["decided_by"]]} <= demo.users.keys() for item in made)
    assert len({item[names["ratee"]] for item in made}) == len(made) - 1
    levels = [judge(item[names["reason"]]).level for item in made]
    assert levels.count("violation") == 1
