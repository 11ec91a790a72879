"""Publishing to DataLens: what readers, heads and engineers would notice if it went wrong."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalens_specs.entries import EVERYTHING, Entry, PublishError, entries, row_rules
from datalens_specs.publish import Action, Plan, Written, apply, plan
from datalens_specs.specs import Dataset, Specs, Tables, load
from datalens_specs.workbook import Place
from pipelines.dashboards import migrated_tables
from tests.dashboards.datalens import WORKBOOK, DataLens

PLACE = Place("clickhouse.example.org", 8443, "datalens", True, {"mart": "mart_read", "hr": "hr_read"})
PASSWORD = "s3cret-of-clickhouse"
WORDS = {"processes": {"production": "Производство"}, "reasons": {"clarity": "Непонятная задача"}}


class Notes:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.notes: list[Written] = []

    def read(self) -> list[Written]:
        return list({(one.kind, one.key): one for one in self.notes}.values())

    def note(self, notes: Sequence[Written]) -> None:
        self.notes += notes


@pytest.fixture(scope="module")
def tables() -> Tables:
    return migrated_tables()


@pytest.fixture(scope="module")
def specs(tables: Tables) -> Specs:
    return load(tables, WORDS).part(for_hr=False)


@pytest.fixture(scope="module")
def wanted(specs: Specs, tables: Tables) -> tuple[Entry, ...]:
    return entries(specs, tables, PLACE, {key: [("head", "1-2")] for key in specs.datasets})


@pytest.fixture
def datalens(tables: Tables) -> DataLens:
    return DataLens(tables)


def look(datalens: DataLens, wanted: Sequence[Entry], notes: Notes) -> Plan:
    with datalens.client() as client:
        return plan(client, WORKBOOK, wanted, notes)  # type: ignore[arg-type]


def publish_all(
    datalens: DataLens, wanted: Sequence[Entry], notes: Notes, *, overwrite: bool = False
) -> dict[str, str]:
    with datalens.client() as client:
        todo = plan(client, WORKBOOK, wanted, notes)  # type: ignore[arg-type]
        return apply(client, WORKBOOK, todo, notes, password=PASSWORD, overwrite=overwrite)  # type: ignore[arg-type]


def actions(found: Plan) -> set[Action]:
    return {step.action for step in found.steps}


def changed(wanted: Sequence[Entry], kind: str, **how: Any) -> tuple[Entry, ...]:
    """The same entries, the first one of a kind changed."""
    first = next(one for one in wanted if one.kind == kind)
    return tuple(replace(one, **how) if one is first else one for one in wanted)


# --- the usual way ----------------------------------------------------------------------------------------------------
def test_everything_is_created_in_order_and_a_second_apply_asks_for_no_write(
    datalens: DataLens, wanted: tuple[Entry, ...]
) -> None:
    notes = Notes()
    links = publish_all(datalens, wanted, notes)
    assert set(links) == {one.name for one in wanted if one.kind == "dashboard"}
    kinds = [method for method, _ in itertools.groupby(datalens.writes)]
    assert kinds == ["createConnection", "createDataset", "createWizardChart", "createDashboard"]
    asked = len(datalens.asked)
    assert actions(look(datalens, wanted, notes)) == {"unchanged"}
    publish_all(datalens, wanted, notes)
    assert [method for method, _ in datalens.asked[asked:] if method.startswith(("create", "update", "delete"))] == []


def test_documents_name_each_other_by_the_ids_that_datalens_gave(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    publish_all(datalens, wanted, Notes())
    # The stand-in refuses ids and fields that it does not know, and shapes that the SDK's schema does not.
    for one in datalens.entries.values():
        assert "dataset_" not in str(one.content.get("data", {}).get("sources", ""))
    assert datalens.named("Кто кому передаёт работу").type == "table_wizard_node"


def test_the_password_goes_to_the_connection_and_nowhere_else(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    connection = next(one for one in datalens.entries.values() if one.scope == "connection")
    assert connection.password == PASSWORD
    assert PASSWORD not in str(notes.notes)
    carriers = [method for method, body in datalens.asked if PASSWORD in str(body)]
    assert carriers == ["createConnection"]


def test_a_changed_spec_updates_one_entry_in_place(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    before = {one.name: one.entry_id for one in datalens.entries.values()}
    first = next(one for one in wanted if one.kind == "dashboard")
    content = first.document["entry"] | {"annotation": {"description": "Иначе"}}
    after = changed(wanted, "dashboard", document={"entry": content})
    found = look(datalens, after, notes)
    assert [str(step) for step in found.steps if step.action != "unchanged"] == [f"dashboard  {first.name}: update"]
    publish_all(datalens, after, notes)
    stored = datalens.named(first.name)
    assert stored.content["annotation"] == {"description": "Иначе"}
    assert stored.saved == stored.published, "a change that stays a draft is seen by nobody"
    assert {one.name: one.entry_id for one in datalens.entries.values()} == before


@pytest.mark.parametrize("kind", ["connection", "dataset", "chart", "dashboard"])
def test_a_new_title_renames_the_entry_and_keeps_its_links(
    datalens: DataLens, wanted: tuple[Entry, ...], kind: str
) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    old = datalens.named(next(one.name for one in wanted if one.kind == kind)).entry_id
    after = changed(wanted, kind, name="Новое имя")
    publish_all(datalens, after, notes)
    assert datalens.named("Новое имя").entry_id == old
    assert actions(look(datalens, after, notes)) == {"unchanged"}


def test_what_left_the_specs_is_deleted(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    fewer = [one for one in wanted if one.kind != "dashboard"]
    assert look(datalens, fewer, notes).counts["delete"] == 3
    publish_all(datalens, fewer, notes)
    assert not [one for one in datalens.entries.values() if one.scope == "dash"]
    assert actions(look(datalens, fewer, notes)) == {"unchanged"}


# --- other people's work ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("draft", [False, True])
def test_an_entry_changed_by_hand_stops_everything_before_the_first_write(
    datalens: DataLens, wanted: tuple[Entry, ...], draft: bool
) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    datalens.edit_by_hand("Взаимодействие отделов", draft=draft)
    after = changed(wanted, "chart", name="Иначе")
    found = look(datalens, after, notes)
    assert "dashboard  Взаимодействие отделов: changed by hand, on 2026-11-24" in map(str, found.steps)
    writes = len(datalens.writes)
    with pytest.raises(PublishError, match=r"Nothing was published.*'Взаимодействие отделов'.*--overwrite"):
        publish_all(datalens, after, notes)
    assert len(datalens.writes) == writes
    publish_all(datalens, after, notes, overwrite=True)
    assert actions(look(datalens, after, notes)) == {"unchanged"}


def test_an_entry_with_our_name_that_is_not_ours_is_adopted_only_when_asked(
    datalens: DataLens, wanted: tuple[Entry, ...]
) -> None:
    theirs = publish_all(datalens, wanted, Notes())
    notes = Notes()
    assert actions(look(datalens, wanted, notes)) == {"foreign"}
    with pytest.raises(PublishError, match=r"Changed or made by hand in DataLens: .* and 43 more"):
        publish_all(datalens, wanted, notes)
    assert publish_all(datalens, wanted, notes, overwrite=True) == theirs
    assert actions(look(datalens, wanted, notes)) == {"unchanged"}


@pytest.mark.parametrize("kind", ["dataset", "chart"])
def test_a_name_taken_since_the_plan_is_no_licence_to_write_over_it(
    datalens: DataLens, wanted: tuple[Entry, ...], kind: str
) -> None:
    """409 from one service, 400 ERR.US.DB.UNIQUE_VIOLATION from the other."""
    notes = Notes()
    entry = next(one for one in wanted if one.kind == kind)
    scope = {"dataset": "dataset", "chart": "widget"}[kind]
    with datalens.client() as client:
        todo = plan(client, WORKBOOK, wanted, notes)  # type: ignore[arg-type]
        theirs = datalens._store(scope, entry.name, {"data": {}}, WORKBOOK, "d3_wizard_node")
        with pytest.raises(PublishError, match=f"stopped at the {kind} '{entry.name}'.*just been taken"):
            apply(client, WORKBOOK, todo, notes, password=PASSWORD)  # type: ignore[arg-type]
    assert theirs.content == {"data": {}}
    found = look(datalens, wanted, notes)
    assert [step.name for step in found.in_the_way] == [entry.name]
    publish_all(datalens, wanted, notes, overwrite=True)
    assert theirs.content != {"data": {}}
    assert actions(look(datalens, wanted, notes)) == {"unchanged"}


def test_a_name_taken_since_the_plan_is_adopted_in_the_same_apply_when_asked(
    datalens: DataLens, wanted: tuple[Entry, ...]
) -> None:
    notes = Notes()
    name = next(one.name for one in wanted if one.kind == "chart")
    with datalens.client() as client:
        todo = plan(client, WORKBOOK, wanted, notes)  # type: ignore[arg-type]
        datalens._store("widget", name, {"data": {}}, WORKBOOK, "d3_wizard_node")
        apply(client, WORKBOOK, todo, notes, password=PASSWORD, overwrite=True)  # type: ignore[arg-type]
    assert actions(look(datalens, wanted, notes)) == {"unchanged"}


def test_a_name_taken_by_an_entry_nobody_sees_is_said(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    name = next(one.name for one in wanted if one.kind == "connection")
    datalens._store("connection", name, {}, WORKBOOK, "clickhouse")
    datalens.hidden.add(name)
    with pytest.raises(PublishError, match=r"this account does not see.*ERR.US.DB.UNIQUE_VIOLATION"):
        publish_all(datalens, wanted, Notes())


def test_destroy_deletes_what_is_ours_and_nothing_else(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    mine = datalens._store("widget", "Мой график", {"data": {}}, WORKBOOK, "d3_wizard_node")
    datalens.edit_by_hand("Взаимодействие отделов")
    with pytest.raises(PublishError, match="the dashboard 'Взаимодействие отделов'"):
        publish_all(datalens, (), notes)
    publish_all(datalens, (), notes, overwrite=True)
    assert list(datalens.entries.values()) == [mine]
    deleted = [method for method in datalens.writes if method.startswith("delete")]
    assert deleted[0] == "deleteDashboard"
    assert deleted[-1] == "deleteConnection"
    # A second time there is nothing left to do, and publishing anew is no trouble.
    assert look(datalens, (), notes).steps == ()
    publish_all(datalens, wanted, notes)
    assert actions(look(datalens, wanted, notes)) == {"unchanged"}


# --- trouble half-way -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", ["drop", "lost", 500])
@pytest.mark.parametrize("at", [1, 2, 7, 12, 30, 46, 48])
def test_a_failure_half_way_is_said_and_the_next_apply_goes_on(
    datalens: DataLens, wanted: tuple[Entry, ...], fault: int | str, at: int
) -> None:
    notes = Notes()
    datalens.faults = {at: fault}
    entry = wanted[at - 1]
    sentence = f"Publishing stopped at the {entry.kind} '{entry.name}', {at - 1} of 48 changes done; apply again"
    with pytest.raises(PublishError) as caught:
        publish_all(datalens, wanted, notes)
    assert str(caught.value).startswith(sentence)
    datalens.faults = {}
    before = len(datalens.writes)
    publish_all(datalens, wanted, notes)
    # What was done is not done again; of the one whose answer was lost nobody knows.
    assert len(datalens.writes) - before == 48 - (at - 1)
    names = [(one.scope, one.name) for one in datalens.entries.values()]
    assert len(names) == len(set(names)) == 48
    assert actions(look(datalens, wanted, notes)) == {"unchanged"}


def test_an_update_whose_answer_was_lost_is_not_taken_for_somebodys_work(
    datalens: DataLens, wanted: tuple[Entry, ...]
) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    first = next(one for one in wanted if one.kind == "dashboard")
    content = first.document["entry"] | {"annotation": {"description": "Иначе"}}
    after = changed(wanted, "dashboard", document={"entry": content})
    datalens.faults = {len(datalens.writes) + 1: "lost"}
    with pytest.raises(PublishError, match="broke off, so nobody knows"):
        publish_all(datalens, after, notes)
    assert look(datalens, after, notes).counts == {"unchanged": 47, "update": 1}
    publish_all(datalens, after, notes)
    assert actions(look(datalens, after, notes)) == {"unchanged"}


@pytest.mark.parametrize("is_new", [True, False])
def test_what_people_save_after_a_refused_write_is_theirs(
    datalens: DataLens, wanted: tuple[Entry, ...], is_new: bool
) -> None:
    """A refusal leaves nothing in doubt, unlike a connection that breaks."""
    notes = Notes()
    first = next(one for one in wanted if one.kind == "dashboard")
    if not is_new:
        publish_all(datalens, wanted, notes)
    content = first.document["entry"] | {"annotation": {"description": "Иначе"}}
    after = changed(wanted, "dashboard", document={"entry": content})
    datalens.faults = {(46 if is_new else len(datalens.writes) + 1): 403}
    with pytest.raises(PublishError, match="role of an editor"):
        publish_all(datalens, after, notes)
    if is_new:
        datalens._store("dash", first.name, {"data": {}}, WORKBOOK, "")
    else:
        datalens._touch(next(one for one in datalens.entries.values() if one.scope == "dash"), "publish")
    assert [step.name for step in look(datalens, after, notes).in_the_way] == [first.name]


def test_datalens_asking_for_patience_gets_it(
    datalens: DataLens, wanted: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("datalens_specs.publish.time.sleep", waited.append)
    datalens.faults = {3: 429, 4: 429, 9: 429}
    publish_all(datalens, wanted, Notes())
    assert waited == [1.0, 2.0, 1.0]
    datalens.faults = dict.fromkeys(range(1, 1000), 429)
    with pytest.raises(PublishError, match="HTTP 429"):
        publish_all(DataLens(datalens.tables, faults=datalens.faults), wanted, Notes())


# --- refusals ---------------------------------------------------------------------------------------------------------
def test_an_expired_token_is_said_before_anything_is_written(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    datalens.expired = True
    with pytest.raises(PublishError, match=r"does not accept the token, it has expired.*HTTP 401.*request req-1"):
        publish_all(datalens, wanted, Notes())
    assert datalens.writes == []


def test_a_token_that_expires_half_way_is_said_with_what_is_done(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    datalens.faults = {20: 401}
    with pytest.raises(PublishError, match=r"19 of 48 changes done; apply again.*does not accept the token"):
        publish_all(datalens, wanted, Notes())


def test_an_unknown_workbook_is_said(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    datalens.workbooks.clear()
    with pytest.raises(PublishError, match=r"knows no such workbook.*last part of its address"):
        publish_all(datalens, wanted, Notes())


def test_an_account_without_rights_is_told_which_role_it_needs(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    datalens.faults = {1: 403}
    with pytest.raises(PublishError, match="needs the role of an editor"):
        publish_all(datalens, wanted, Notes())


def test_errors_quote_nothing_that_was_sent(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    """The stand-in's answers quote the request, as DataLens's do."""
    datalens.faults = {1: 500}
    with pytest.raises(PublishError) as caught:
        publish_all(datalens, wanted, Notes())
    assert PASSWORD not in str(caught.value)
    assert "quotes" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_answer_in_an_unknown_shape_is_no_traceback(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    name = next(one.name for one in wanted if one.kind == "chart")
    datalens.named(name).content = {"quotes": PASSWORD}
    after = changed(wanted, "chart", document=next(one for one in wanted if one.kind == "chart").document | {"new": 1})
    with pytest.raises(PublishError, match="a shape that the installed datalens-sdk does not know") as caught:
        publish_all(datalens, after, notes)
    assert PASSWORD not in str(caught.value)


def test_a_table_that_datalens_cannot_read_stops_before_its_dataset(tables: Tables, wanted: tuple[Entry, ...]) -> None:
    fewer = {name: columns for name, columns in tables.items() if name != "mart.coverage"}
    datalens = DataLens(fewer)
    with pytest.raises(PublishError, match=r"cannot read mart_read\.coverage through its connection"):
        publish_all(datalens, wanted, Notes())
    assert not [one for one in datalens.entries.values() if one.scope in ("widget", "dash")]


def test_a_warehouse_that_lacks_a_column_is_said(tables: Tables, wanted: tuple[Entry, ...]) -> None:
    old = {**tables, "mart.coverage": tables["mart.coverage"][:-1]}
    last = tables["mart.coverage"][-1].name
    with pytest.raises(PublishError, match=rf"mart_read\.coverage.* has no column {last}.*warehouse migrate"):
        publish_all(DataLens(old), wanted, Notes())


# --- who sees which rows ----------------------------------------------------------------------------------------------
def test_a_dataset_whose_row_rules_were_dropped_is_taken_back(datalens: DataLens, wanted: tuple[Entry, ...]) -> None:
    """Open-source DataLens answers 200 and forgets them."""
    datalens.keeps_rules = False
    with pytest.raises(PublishError, match=r"did not keep the row rules of the dataset .*: it was taken back"):
        publish_all(datalens, wanted, Notes())
    guarded = {one.name for one in wanted if one.kind == "dataset" and one.document["dataset"]["rls2"]}
    assert guarded
    assert guarded.isdisjoint(one.name for one in datalens.entries.values())


def test_row_rules_dropped_from_a_published_dataset_are_an_alarm(
    datalens: DataLens, specs: Specs, tables: Tables, wanted: tuple[Entry, ...]
) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    datalens.keeps_rules = False
    others = entries(specs, tables, PLACE, {key: [("other", "1-2")] for key in specs.datasets})
    with pytest.raises(PublishError, match=r"may see all of its rows. Unshare it"):
        publish_all(datalens, others, notes)


def test_a_dataset_that_nobody_may_see_is_not_published_at_all(specs: Specs, tables: Tables) -> None:
    """No rule would open it to everybody."""
    rules = {key: [("head", "1-2")] for key in specs.datasets}
    with pytest.raises(PublishError, match="would show all of its rows to everybody"):
        entries(specs, tables, PLACE, rules | {"own": []})


def test_a_new_head_changes_row_rules_and_nothing_else(
    datalens: DataLens, specs: Specs, tables: Tables, wanted: tuple[Entry, ...]
) -> None:
    notes = Notes()
    publish_all(datalens, wanted, notes)
    rules = {key: [("new head", "1-2")] for key in specs.datasets}
    after = entries(specs, tables, PLACE, rules)
    guarded = {one.name for one in wanted if one.kind == "dataset" and one.document["dataset"]["rls2"]}
    assert {step.name for step in look(datalens, after, notes).steps if step.action == "update"} == guarded
    publish_all(datalens, after, notes)
    kept = datalens.named(next(iter(guarded))).content["rls2"]
    assert {rule["subject"]["subject_id"] for rules in kept.values() for rule in rules} == {"new head"}


departments = st.integers(1, 6)
employees = st.integers(1, 8)


@given(
    access=st.sets(st.tuples(employees, departments)),
    known=st.sets(employees),
    pairs=st.sets(st.tuples(departments, departments)),
    see_all=st.sets(employees),
)
def test_a_head_sees_the_pairs_that_touch_his_departments_and_no_others(
    access: set[tuple[int, int]], known: set[int], pairs: set[tuple[int, int]], see_all: set[int], specs_once: Specs
) -> None:
    users = {employee: f"user-{employee}" for employee in known}

    def values(dataset: Dataset) -> list[str]:
        assert dataset.row_access is not None
        if dataset.row_access.by == "department":
            return [str(rater) for rater, _ in pairs]
        return [f"{rater}-{ratee}" for rater, ratee in pairs]

    found = row_rules(specs_once, access, users, values, see_all)
    for key, dataset in specs_once.datasets.items():
        if dataset.row_access is None:
            assert key not in found
            continue
        seen = {
            employee: {value for user, value in found[key] if user == f"user-{employee}"} for employee in range(1, 9)
        }
        for employee, rows in seen.items():
            if employee not in known:
                assert rows == set()
            elif dataset.row_access.by == "ratee":
                # Whoever sees all departments still sees nobody's own ratings but his.
                assert rows == {str(employee)}
            elif employee in see_all:
                assert rows == {EVERYTHING}
            else:
                mine = {department for one, department in access if one == employee}
                by_pair = {f"{a}-{b}" for a, b in pairs if {a, b} & mine} | {f"{one}-{one}" for one in mine}
                is_pair = dataset.row_access.by == "department_pair"
                assert rows == (by_pair if is_pair else {str(one) for one in mine})


@pytest.fixture(scope="module")
def specs_once(specs: Specs) -> Specs:
    return specs


def test_no_dataset_shows_every_reader_all_departments(specs: Specs) -> None:
    """Violations of comment rules, by rater department, once had no rule."""
    columns = {"department_id", "rater_department_id", "ratee_department_id", "rater_department", "ratee_department"}
    for dataset in specs.datasets.values():
        if columns & {one.column for one in dataset.fields}:
            assert dataset.row_access is not None, dataset.name


def test_who_sees_everything_has_a_rule_without_a_value(datalens: DataLens, specs: Specs, tables: Tables) -> None:
    rules = {key: [("chief", EVERYTHING), ("head", "1-2")] for key in specs.datasets}
    notes = Notes()
    all_of_it = entries(specs, tables, PLACE, rules)
    publish_all(datalens, all_of_it, notes)
    assert actions(look(datalens, all_of_it, notes)) == {"unchanged"}
    (kept,) = datalens.named("Пары отделов").content["rls2"].values()
    assert [(rule["subject"]["subject_id"], rule["pattern_type"], rule.get("allowed_value")) for rule in kept] == [
        ("chief", "all", None),
        ("head", "value", "1-2"),
    ]


def test_digests_of_the_same_specs_are_the_same(specs: Specs, tables: Tables, wanted: tuple[Entry, ...]) -> None:
    again = entries(
        load(tables, WORDS).part(for_hr=False), tables, PLACE, {k: [("head", "1-2")] for k in specs.datasets}
    )
    assert [one.digest for one in again] == [one.digest for one in wanted]
    assert len({one.digest for one in again}) == len(again)
