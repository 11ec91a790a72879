"""The doctor names each thing that is wrong and its mend, goes on after it, tells nobody's name and changes nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import yaml
from pydantic import SecretStr

from assets.changes import COVERAGE_COLUMNS, add_pending, forget
from assets.crm import DEPARTMENT_COLUMNS
from assets.rules.policy import PolicyBook, PolicyEntry
from pipelines.automation import ratings_job
from pipelines.doctor import examine, modes_from
from pipelines.findings import Findings
from pipelines.lock import run_lock
from pipelines.settings import Secrets, Settings
from sources.bitrix24 import Bitrix24
from sources.contracts import RATING_COLUMNS, Profile
from sources.stand_in.company import DECISION_FIELDS, DECISIONS, decision_config, decision_process, generate
from sources.vault import CURRENT, VaultKey
from tests.e2e.conftest import NOW, Site
from warehouse_sql.warehouse import PUBLISHED, Warehouse, table

FACTS, PAIRS = table("dwh", "fct_rating"), table("mart", "department_pair")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A company nobody has read yet."""
    with ExitStack() as stack:
        yield Site(tmp_path, generate(6, "tiny", NOW), stack)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty warehouse with all its tables."""
    path = tmp_path_factory.mktemp("prepared") / "warehouse"
    with Warehouse(path=path).session("test") as db:
        db.prepare()
    return path


@pytest.fixture
def warehouse(site: Site, prepared: Path) -> Site:
    """The company with an empty warehouse."""
    shutil.copytree(prepared, site.folder / "warehouse", symlinks=True)
    return site


def diagnose(site: Site, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Findings:
    """Examines the site under a changed configuration."""
    change(site.config)
    site.file.write_text(yaml.safe_dump(site.config, allow_unicode=True), encoding="utf-8")
    return examine(site.settings)


def said(found: Findings, state: str, what: str = "") -> str:
    """All sentences of a state, of one thing if it is named."""
    return "\n".join(sentence for each, thing, sentence in found.lines if each == state and (not what or thing == what))


def things(found: Findings, state: str) -> set[str]:
    return {thing for each, thing, _ in found.lines if each == state}


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder with its mode and contents."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


# --- as a whole ---------------------------------------------------------------------------------------------------


def test_before_the_first_run_nothing_is_wrong_and_nothing_is_made(site: Site) -> None:
    before = tree(site.folder)
    found = diagnose(site)
    assert found.healthy, said(found, "fail")
    assert "no vault" in said(found, "ok", "vault")
    assert "no warehouse" in said(found, "ok", "warehouse")
    assert tree(site.folder) == before


def test_the_order_is_configuration_keys_portal_warehouse_last_run(site: Site) -> None:
    order = [thing for _, thing, _ in diagnose(site).lines]
    places = [order.index(name) for name in ("configuration", "key file", "portal", "warehouse", "run lock")]
    assert places == sorted(places)
    assert order[-1] == "cannot be verified"


def test_one_failing_check_stops_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Bitrix24) -> None:
        raise KeyError("Петров Пётр")

    monkeypatch.setattr(Bitrix24, "users", broken)
    site.key.unlink()
    found = diagnose(site, lambda config: config["processes"][0].update(entity_type_id=1998))
    assert "KeyError" in said(found, "fail", "people")
    assert "Петров" not in str(found.lines)
    assert "does not exist" in said(found, "fail", "key file")
    assert "1998" in said(found, "fail", "production: fields")
    assert {"production_back: fields", "logistics: filters", "warehouse", "run lock"} <= things(found, "ok")


def test_no_line_names_a_person_a_comment_or_the_webhook(site: Site) -> None:
    process = site.state.processes[1036]
    for item in process.items.values():
        item["ufCrm7_1700000003"] = 0
        item["ufCrm7_1700000002"] = "Секретный отзыв"
        item["ufCrm7_1700000005"] = "https://portal/user/7/tasks/task/view/17/"
    site.portal.scopes.add("im")
    found = diagnose(site)
    text = str(found.lines)
    assert things(found, "note") >= {"production: newest elements", "production: tasks", "scopes"}
    names = {user[name] for user in site.state.users.values() for name in ("LAST_NAME", "EMAIL") if user[name]}
    assert not [name for name in names if name in text]
    assert "Секретный" not in text
    assert "task/view" not in text
    assert site.portal.webhook.split("/")[-2] not in text


# --- configuration ------------------------------------------------------------------------------------------------


def test_a_process_without_tasks_or_policy_is_told(site: Site) -> None:
    def change(config: dict[str, Any]) -> None:
        del config["processes"][0]["tasks"]
        config["policies"] = config["policies"][:2]

    found = diagnose(site, change)
    assert "production names no tasks.group_id" in said(found, "note", "production: coverage")
    assert "all its ratings are aggregate" in said(found, "note", "logistics: policy")
    assert "production: policy" not in things(found, "note")


def test_a_responsible_ratee_is_told_under_hidden_modes_only(site: Site) -> None:
    assert "can open the card" in said(diagnose(site), "note", "logistics: ratee")
    opened = diagnose(site, lambda config: config["policies"][2].update(mode="open"))
    assert "logistics: ratee" not in things(opened, "note")


@pytest.mark.parametrize(
    ("entries", "modes"),
    [
        ([], {"aggregate"}),
        ([("*", "*", "2020-01-01", "open")], {"open"}),
        ([("*", "*", "2027-01-01", "open")], {"aggregate", "open"}),
        ([("*", "*", "2020-01-01", "aggregate"), ("sales", "*", "2021-01-01", "open")], {"open"}),
        ([("sales", "*", "2020-01-01", "aggregate"), ("sales", "*", "2021-01-01", "open")], {"open"}),
        ([("sales", "*", "2020-01-01", "open"), ("sales", 7, "2021-01-01", "named_to_hr")], {"open", "named_to_hr"}),
        ([("other", "*", "2020-01-01", "open")], {"aggregate"}),
    ],
)
def test_the_modes_a_process_can_have(entries: list[tuple[str, Any, str, Any]], modes: set[str]) -> None:
    book = PolicyBook.build(
        [
            PolicyEntry(process=process, rater_department=rater, valid_from=date.fromisoformat(day), mode=mode)
            for process, rater, day, mode in entries
        ]
    )
    assert modes_from(book, "sales", NOW.date()) == modes


def test_who_hears_of_failed_runs_is_told(site: Site) -> None:
    assert "Nobody is told" in said(diagnose(site), "note", "notification")
    site.portal.scopes.add("im")
    found = diagnose(site, lambda config: config.update(notify={"bitrix24_users": [3, 4]}))
    assert "2 Bitrix24 users" in said(found, "ok", "notification")
    assert "im" in said(found, "ok", "scopes")


def test_a_notification_address_that_is_none_is_told_without_showing_it(site: Site) -> None:
    secrets = Secrets(
        bitrix24_webhook_url=SecretStr(site.portal.webhook),
        estafeta_key_file=site.key,
        estafeta_notify_url=SecretStr("chat.example/hidden-token"),
    )
    found = examine(Settings.load(site.file, secrets))
    assert "ESTAFETA_NOTIFY_URL is no URL" in said(found, "fail", "notification")
    assert "hidden-token" not in str(found.lines)


# --- key file and vault -------------------------------------------------------------------------------------------


def write_ratings(site: Site, period: str, count: int, process: str = "production") -> None:
    blank = {
        "process_key": process,
        "period": date.fromisoformat(f"{period}-01"),
        "created_at": NOW,
        "updated_at": NOW,
        "rated_on": NOW.date(),
        **dict.fromkeys(("stage_id", "score_problem", "comment", "reason", "task_title"), ""),
        **dict.fromkeys(("is_period_invalid", "is_failure_stage", "is_deleted"), False),
        **dict.fromkeys(("rater_id", "ratee_id", "task_id", "task_setter_id", "task_executor_id"), 0),
        "score": 5,
    }
    rows = [blank | {"rating_id": number} for number in range(count)]
    site.settings.vault().write("raw", period, pa.Table.from_pylist(rows, RATING_COLUMNS))


def test_a_missing_key_file_is_one_failure(site: Site) -> None:
    write_ratings(site, "2026-10", 1)
    site.key.unlink()
    found = diagnose(site)
    assert things(found, "fail") == {"key file"}
    assert "estafeta init-key" in said(found, "fail")
    assert "without its key" in said(found, "note", "vault")


def test_a_key_of_another_vault_is_told_once(site: Site) -> None:
    write_ratings(site, "2026-09", 1)
    write_ratings(site, "2026-10", 1)
    site.key.unlink()
    VaultKey.create(site.key)
    found = diagnose(site)
    assert things(found, "fail") == {"vault"}
    assert said(found, "fail").count("Put back the key") == 1


def test_every_damaged_snapshot_is_named(site: Site) -> None:
    for period in ("2026-08", "2026-09", "2026-10"):
        write_ratings(site, period, 1)
    for period in ("2026-08", "2026-10"):
        file = site.settings.vault_path / "raw" / f"{period}.arrow"
        file.write_bytes(file.read_bytes()[:-1])
    found = diagnose(site)
    assert "raw/2026-08.arrow was cut" in said(found, "fail", "vault")
    assert "raw/2026-10.arrow was cut" in said(found, "fail", "vault")
    assert "1 snapshots can be read" in said(found, "ok", "vault")


def test_a_vault_of_an_earlier_version_is_told_and_one_of_an_unknown_version_is_a_failure(site: Site) -> None:
    vault = site.settings.vault()
    for period in ("2026-09", "2026-10"):
        write_ratings(site, period, 1)
    vault.write("raw", "2026-09", vault.read("raw", "2026-09").drop_columns(["task_title"]))
    found = diagnose(site)
    assert "Months 2026-09 were read by an earlier version" in said(found, "note", "vault months")
    assert not said(found, "fail", "vault")
    vault.write("raw", "2026-10", vault.read("raw", "2026-10").drop_columns(["reason"]))
    found = diagnose(site)
    assert said(found, "fail", "vault").count("The vault's raw was written by another version") == 1
    assert "section 11 (Upgrade)" in said(found, "fail", "vault")


def test_a_vault_that_others_may_enter_is_told_and_left_as_it_is(site: Site) -> None:
    write_ratings(site, "2026-10", 1)
    path = site.settings.vault_path
    path.chmod(0o755)
    found = diagnose(site)
    assert "0755" in said(found, "fail", "vault")
    assert "chmod 700" in said(found, "fail", "vault")
    assert path.stat().st_mode & 0o777 == 0o755


def test_what_a_killed_run_left_in_the_vault_is_counted_and_left(site: Site) -> None:
    write_ratings(site, "2026-09", 1)
    write_ratings(site, "2026-10", 1)
    path = site.settings.vault_path
    (path / "keys" / "2026-09").unlink()
    (path / "raw" / ".2026-10.arrow.tmp").write_bytes(b"half")
    before = tree(path)
    found = diagnose(site)
    assert "1 unfinished files and 1 snapshots without a key" in said(found, "note", "vault")
    assert found.healthy, said(found, "fail")
    assert tree(path) == before


def test_months_that_wait_are_past_retention_or_destroyed_are_named(site: Site) -> None:
    vault = site.settings.vault()
    for period in ("2024-01", "2026-08", "2026-09"):
        write_ratings(site, period, 1)
    add_pending(vault, [date(2026, 9, 1)])
    forget(vault, site.settings.terms, date(2026, 8, 1), NOW.date())
    found = diagnose(site)
    assert "Months 2024-01 are past vault.retention_months" in said(found, "note", "vault months")
    assert "Months 2026-09 changed in Bitrix24 and were not read" in said(found, "note", "vault months")
    assert "Months 2026-08 are destroyed" in said(found, "ok", "vault months")


def test_processes_that_were_not_read_for_days_are_named(site: Site) -> None:
    today = datetime.now(UTC).astimezone(site.settings.zone).date()
    rows = [
        {"process_key": key, "period": date(2026, 9, 1), "read_on": day}
        for key, day in (("production", today), ("production_back", today - timedelta(days=3)))
    ]
    site.settings.vault().write("coverage", CURRENT, pa.Table.from_pylist(rows, COVERAGE_COLUMNS))
    found = diagnose(site)
    assert str(today) in said(found, "ok", "production: last reading")
    assert "3 days ago" in said(found, "note", "production_back: last reading")
    assert "never read" in said(found, "note", "logistics: last reading")


# --- portal -------------------------------------------------------------------------------------------------------


def test_a_refused_webhook_is_told_and_the_rest_is_looked_at(warehouse: Site) -> None:
    warehouse.portal.portal._secret = "another"
    found = diagnose(warehouse)
    assert things(found, "fail") == {"portal"}
    assert "Make a new inbound webhook" in said(found, "fail")
    assert "migrations" in things(found, "ok")


def test_missing_and_needless_scopes_are_named(site: Site) -> None:
    site.portal.scopes -= {"department"}
    site.portal.scopes |= {"user", "disk"}
    found = diagnose(site, lambda config: config.update(notify={"bitrix24_users": [3]}))
    assert "lacks department, im:" in said(found, "fail", "scopes")
    assert "(disk, user)" in said(found, "note", "scopes")


def test_tasks_are_no_scope_to_ask_for_when_no_task_is_mapped(site: Site) -> None:
    def change(config: dict[str, Any]) -> None:
        for process in config["processes"]:
            process.pop("tasks")
            process["fields"].pop("task", None)

    site.portal.scopes.discard("task")
    assert said(diagnose(site, change), "fail") == ""


@pytest.mark.parametrize(("is_admin", "state", "words"), [(True, "note", "service account"), (False, "ok", "not")])
def test_an_administrators_webhook_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, is_admin: bool, state: str, words: str
) -> None:
    profile = Profile.model_validate({"ID": "1", "ADMIN": is_admin})
    monkeypatch.setattr(Bitrix24, "current_user", lambda _: profile)
    assert words in said(diagnose(site), state, "webhook owner")


def test_a_clock_that_differs_is_told(site: Site) -> None:
    assert "differ by" in said(diagnose(site), "note", "clock")
    site.portal.clock.set(datetime.now(UTC))
    assert "differ by" in said(diagnose(site), "ok", "clock")


def test_another_time_zone_than_the_portals_is_a_failure(site: Site) -> None:
    found = diagnose(site, lambda config: config["portal"].update(timezone="Asia/Yekaterinburg"))
    sentence = said(found, "fail", "time zone")
    assert "writes its times at +03:00, but portal.timezone Asia/Yekaterinburg is at +05:00" in sentence
    # The other checks go on.
    assert {"clock", "scopes", "people"} & things(found, "fail") == set()
    assert "people" in things(found, "ok")


def test_a_portal_that_shows_nobody_is_a_failure(site: Site) -> None:
    site.state.departments.clear()
    assert "company structure" in said(diagnose(site), "fail", "people")


def test_departments_that_do_not_exist_are_named(site: Site) -> None:
    def change(config: dict[str, Any]) -> None:
        config["policies"][0]["rater_department"] = 77
        config["processes"][1]["setter_departments"] = [88]

    found = diagnose(site, change)
    assert "no department 77, which policies.0.rater_department names" in said(found, "fail", "departments")
    assert "no department 88, which setter_departments of process production_back" in said(found, "fail")

    row = {"department_id": 77, "name": "Старый", "parent_id": 1, "level": 2, "head_employee_id": 0}
    version = {"valid_from": date(1970, 1, 1), "valid_to": date(2026, 5, 1), "is_current": False, "is_inferred": True}
    site.settings.vault().write("departments", CURRENT, pa.Table.from_pylist([row | version], DEPARTMENT_COLUMNS))
    found = diagnose(site)
    assert "Department 77" in said(found, "note", "departments")
    assert "77" not in said(found, "fail", "departments")
    assert "88" in said(found, "fail", "departments")


def test_a_field_that_does_not_exist_is_named(site: Site) -> None:
    found = diagnose(site, lambda config: config["processes"][0]["fields"].update(rater="ufCrm7_170000003"))
    assert "did you mean ufCrm7_1700000003?" in said(found, "fail", "production: fields")


@pytest.mark.parametrize(
    ("process", "role", "field", "kind"),
    [
        (0, "score", "ufCrm7_1700000003", "employee"),
        (0, "comment", "ufCrm7_1700000007", "enumeration"),
        (0, "rater", "ufCrm7_1700000005", "integer"),
        (0, "ratee", "ufCrm7_1700000002", "string"),
        (0, "task", "ufCrm7_1700000003", "employee"),
        (0, "reason", "ufCrm7_1700000002", "string"),
        (2, "period", "ufCrm17_1700000002", "string"),
    ],
)
def test_a_field_of_a_type_that_does_not_fit_is_named(
    site: Site, process: int, role: str, field: str, kind: str
) -> None:
    found = diagnose(site, lambda config: config["processes"][process]["fields"].update({role: field}))
    sentence = said(found, "fail", f"{site.config['processes'][process]['key']}: fields")
    assert f"reads its {role} from the field {field}, whose type is {kind}" in sentence
    assert f"correct fields.{role}" in sentence


def test_options_that_hold_no_score_are_named_until_the_configuration_translates_them(site: Site) -> None:
    options = site.state.processes[1036].fields["ufCrm7_1700000001"]["items"]
    options[0]["VALUE"], options[1]["VALUE"] = "Отлично", "4/5"
    sentence = said(diagnose(site), "fail", "production: score")
    assert "Отлично; 4/5" in sentence
    assert "score_values" in sentence
    found = diagnose(site, lambda config: config["processes"][0].update(score_values={"Отлично": 5, "4/5": 4}))
    assert "All 5 options" in said(found, "ok", "production: score")


def test_counted_stages_that_no_funnel_has_are_named(site: Site) -> None:
    found = diagnose(site, lambda config: config["processes"][0].update(counted_stages=["SUCCESS", "DONE"]))
    sentence = said(found, "fail", "production: stages")
    assert "has the stage DONE of counted_stages" in sentence
    assert "SUCCESS" in sentence
    found = diagnose(site, lambda config: config["processes"][0].update(counted_stages=["SUCCESS"]))
    assert "production: stages" in things(found, "ok")


def test_a_portal_that_does_not_filter_by_time_is_a_failure(site: Site) -> None:
    site.portal.quirks.iso_datetime_filter = False
    assert "production: filters" in things(diagnose(site), "ok")
    found = diagnose(site, lambda config: config["portal"].update(timezone="Asia/Yekaterinburg"))
    assert "does not filter elements" in said(found, "fail", "production: filters")


def test_a_process_that_shows_nothing_is_told(site: Site) -> None:
    site.portal.hidden_items.update((1036, number) for number in site.state.processes[1036].items)
    found = diagnose(site)
    assert "REST does not tell which" in said(found, "note", "production: elements")
    assert "elements are visible" in said(found, "ok", "production_back: elements")


def test_far_fewer_elements_than_the_vault_holds_is_a_failure(site: Site) -> None:
    shown = len(site.state.processes[1036].items)
    write_ratings(site, "2026-09", shown + 9)
    assert f"the vault holds {shown + 9}" in said(diagnose(site), "ok", "production: elements")
    write_ratings(site, "2026-09", shown * 2)
    found = diagnose(site)
    assert f"sees {shown} elements of process production, the vault holds {shown * 2}" in said(found, "fail")


def test_fields_that_come_back_empty_are_told(site: Site) -> None:
    for item in site.state.processes[1038].items.values():
        item["ufCrm8_1700000003"] = None
        item["ufCrm8_1700000001"] = None
    sentences = said(diagnose(site), "note", "production_back: newest elements")
    assert "show no readable rater" in sentences
    assert "show no readable score" in sentences
    assert "ratee" not in sentences


def test_workgroups_whose_tasks_can_be_seen_are_counted(site: Site) -> None:
    month = f"{NOW:%Y-%m}"
    closed = [row for row in site.state.tasks.values() if row["groupId"] == "11" and row["status"] == "5"]
    count = sum(1 for row in closed if row["closedDate"].startswith(month))
    sentences = said(diagnose(site), "ok", "production: coverage")
    assert sentences == f"{count} tasks of the workgroup 11 that were completed in {month} are visible."


def test_a_workgroup_without_visible_tasks_is_told(site: Site) -> None:
    def other_groups(config: dict[str, Any]) -> None:
        config["processes"][0]["tasks"]["group_id"] = 999

    found = diagnose(site, other_groups)
    assert found.healthy
    assert "sees no task of the workgroup 999" in said(found, "note", "production: coverage")
    site.portal.admin.hidden_tasks.update(number for number, row in site.state.tasks.items() if row["groupId"] == "12")
    assert "sees no task of the workgroup 12" in said(diagnose(site), "note", "production_back: coverage")


def test_a_workgroup_where_nothing_is_completed_is_told(site: Site) -> None:
    for number, row in list(site.state.tasks.items()):
        if row["groupId"] == "11" and row["status"] == "5":
            site.portal.admin.reopen_task(number)
    sentences = said(diagnose(site), "note", "production: coverage")
    assert "none that was completed since" in sentences


def test_rated_tasks_of_other_workgroups_are_counted(site: Site) -> None:
    assert "do not belong" not in said(diagnose(site), "note", "production: coverage")
    newest = sorted(site.state.processes[1036].items)[-3:]
    tasks = {site.state.processes[1036].items[number]["ufCrm7_1700000005"] for number in newest}
    for number in tasks - {None}:
        site.portal.admin.edit_task(number, {"groupId": "77"})
    sentences = said(diagnose(site), "note", "production: coverage")
    assert f"{len(tasks - {None})} of " in sentences
    assert "do not belong to the workgroup 11" in sentences


def test_tasks_that_are_hidden_missing_or_no_tasks_are_counted(site: Site) -> None:
    items = site.state.processes[1036].items
    numbers = sorted(items)[-50:]
    for number in numbers[:3]:
        items[number]["ufCrm7_1700000005"] = "https://portal.example/task/view/17/"
    for number in numbers[3:5]:
        items[number]["ufCrm7_1700000005"] = None
    linked = {int(items[number]["ufCrm7_1700000005"]) for number in numbers[5:]}
    for task in sorted(linked)[:5]:
        del site.state.tasks[task]
    found = diagnose(site)
    assert "3 of the newest 50 elements" in said(found, "note", "production: tasks")
    assert f"cannot see 5 of {len(linked)} tasks" in said(found, "note", "production: tasks")

    for item in items.values():
        item["ufCrm7_1700000005"] = None
    sentences = said(diagnose(site), "note", "production: tasks")
    assert "None of the newest 50 elements" in sentences
    assert "no number of a task" not in sentences


# --- warehouse ----------------------------------------------------------------------------------------------------


def test_a_sound_warehouse_is_ok_and_without_a_run_says_so(warehouse: Site) -> None:
    found = diagnose(warehouse)
    assert found.healthy, said(found, "fail")
    assert {"warehouse", "migrations", "swap"} <= things(found, "ok")
    assert "No run has published" in said(found, "note", "last run")


def test_a_folder_that_others_can_read_is_told(warehouse: Site) -> None:
    folder = warehouse.folder / "warehouse"
    parents = [path for path in folder.parents if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o011]
    for path in parents:
        path.chmod(0o711)
    folder.chmod(0o755)
    assert "chmod 700" in said(diagnose(warehouse), "note", "warehouse folder")
    folder.chmod(0o700)
    assert "Only its owner" in said(diagnose(warehouse), "ok", "warehouse folder")
    folder.chmod(0o755)
    warehouse.folder.chmod(0o700)
    assert "Only its owner" in said(diagnose(warehouse), "ok", "warehouse folder")
    for path in parents:
        path.chmod(0o700)


def test_a_busy_warehouse_is_a_note(warehouse: Site) -> None:
    with (warehouse.folder / "warehouse.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        found = diagnose(warehouse)
    assert found.healthy, said(found, "fail")
    assert "open in another program" in said(found, "note", "warehouse")
    assert "run lock" in things(found, "ok")


def test_a_server_that_does_not_answer_is_a_failure(site: Site) -> None:
    found = diagnose(site, lambda config: config.update(warehouse={"url": "http://127.0.0.1:9"}))
    assert things(found, "fail") == {"warehouse"}
    assert "CLICKHOUSE_URL" in said(found, "fail")


def test_rows_that_a_killed_run_spilled_are_told_and_left(warehouse: Site) -> None:
    spill = warehouse.folder / "warehouse.spill"
    spill.mkdir()
    (spill / "block").write_bytes(b"rows")
    assert "warehouse.spill" in said(diagnose(warehouse), "note", "warehouse folder")
    assert (spill / "block").exists()


@pytest.mark.parametrize(
    ("sql", "state", "words"),
    [
        ("ALTER TABLE ops.migration DELETE WHERE name LIKE '0007%' SETTINGS mutations_sync = 2", "note", "0007_"),
        (
            "ALTER TABLE ops.migration UPDATE sha256 = repeat('0', 64) WHERE name LIKE '0003%' "
            "SETTINGS mutations_sync = 2",
            "fail",
            "0003_ratings.sql was applied",
        ),
        ("INSERT INTO ops.migration (name, sha256) VALUES ('9999_later.sql', repeat('0', 64))", "fail", "newer"),
        ("DROP TABLE mart.department_pair SYNC", "fail", "mart.department_pair is gone"),
    ],
)
def test_migrations_that_are_missing_edited_or_undone_are_named(
    warehouse: Site, sql: str, state: str, words: str
) -> None:
    with warehouse.settings.warehouse().session("test") as db:
        db.command(sql)
    found = diagnose(warehouse)
    assert words in said(found, state, "migrations")
    with warehouse.settings.warehouse().session("test") as db:
        before = db.rows("SELECT * FROM ops.migration ORDER BY name")
    diagnose(warehouse)
    with warehouse.settings.warehouse().session("test") as db:
        assert db.rows("SELECT * FROM ops.migration ORDER BY name") == before


@pytest.mark.parametrize(
    ("exchanged", "dropped", "state", "words"),
    [
        ([], [], "note", "published ones are as before"),
        ([FACTS], [], "note", "after 1 of 2 tables"),
        ([FACTS, PAIRS], [], "note", "after its last table"),
        ([FACTS], [PAIRS], "fail", "mart.department_pair cannot be finished"),
    ],
)
def test_a_swap_that_was_cut_is_told_with_what_the_next_run_makes_of_it(
    warehouse: Site, exchanged: list[Any], dropped: list[Any], state: str, words: str
) -> None:
    with warehouse.settings.warehouse().session("test") as db:
        for target in (FACTS, PAIRS):
            db.stage(target)
        db._journal("cut", "begin", {target.full_name: db._uuid(target.staged) for target in (FACTS, PAIRS)})
        for target in exchanged:
            db._exchange(target)
        for target in dropped:
            db.command(f"DROP TABLE {target.staged} SYNC")
        uuids = {target.full_name: db._uuid(target.full_name) for target in PUBLISHED}
    found = diagnose(warehouse)
    assert words in said(found, state, "swap")
    assert found.healthy == (state == "note")
    with warehouse.settings.warehouse().session("test") as db:
        assert {target.full_name: db._uuid(target.full_name) for target in PUBLISHED} == uuids
        if state == "note":
            db.prepare()
            db.clear_stage()
    if state == "note":
        assert "No swap is open" in said(diagnose(warehouse), "ok", "swap")


def test_copies_that_a_failed_run_left_are_told(warehouse: Site) -> None:
    with warehouse.settings.warehouse().session("test") as db:
        db.stage(FACTS)
        db.note_step("run", "dwh.fct_rating")
    sentence = said(diagnose(warehouse), "note", "swap")
    assert "1 copies and 1 filled inputs" in sentence
    with warehouse.settings.warehouse().session("test") as db:
        assert db._uuid(FACTS.staged)


@pytest.mark.parametrize(("hours", "state", "words"), [(1, "ok", "2026-09 to 2026-10"), (90, "note", "3 days ago")])
def test_how_old_the_last_run_is(warehouse: Site, hours: int, state: str, words: str) -> None:
    with warehouse.settings.warehouse().session("test") as db:
        for age in (hours, 1000):
            db.command(
                "INSERT INTO ops.load_run (run_id, finished_at, table_name, period_from, period_to) "
                f"SELECT 'run', now('UTC') - INTERVAL {age} HOUR, 'dwh.dim_date', '2026-09-01', '2026-10-01'"
            )
    assert words in said(diagnose(warehouse), state, "last run")


# --- the last run -------------------------------------------------------------------------------------------------


def test_a_run_at_work_is_told_and_its_own_files_are_no_leftovers(warehouse: Site) -> None:
    write_ratings(warehouse, "2026-10", 1)
    (warehouse.settings.vault_path / "raw" / ".2026-10.arrow.tmp").write_bytes(b"half")
    with warehouse.settings.warehouse().session("test") as db:
        db.stage(FACTS)
    with run_lock(warehouse.settings.state_path):
        found = diagnose(warehouse)
    assert found.healthy, said(found, "fail")
    assert "at work" in said(found, "note", "run lock")
    assert "vault" not in things(found, "note")
    assert "swap" not in things(found, "note")
    found = diagnose(warehouse)
    assert "No run is at work" in said(found, "ok", "run lock")
    assert {"vault", "swap"} <= things(found, "note")


def test_runs_that_dagster_takes_for_alive_are_told(site: Site) -> None:
    home = site.folder / "dagster"
    home.mkdir()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.create_run_for_job(dg.job(name=ratings_job.name)(lambda: None), status=dg.DagsterRunStatus.STARTED)
    assert "takes 1 runs for running" in said(diagnose(site), "note", "Dagster")
    with run_lock(site.settings.state_path):
        assert "Dagster" not in things(diagnose(site), "note")


def test_a_dagster_home_without_settings_is_told(site: Site) -> None:
    home = site.folder / "home"
    secrets = Secrets(
        bitrix24_webhook_url=SecretStr(site.portal.webhook), estafeta_key_file=site.key, dagster_home=home
    )
    assert "copy dagster.yaml" in said(examine(Settings.load(site.file, secrets)), "note", "Dagster")
    assert not home.exists()


# --- decisions ----------------------------------------------------------------------------------------------------


def test_the_process_of_decisions_is_looked_at(site: Site) -> None:
    site.state.processes[DECISIONS] = process = decision_process()
    config = {"decisions": decision_config()}
    assert "sees no element" in said(diagnose(site, lambda whole: whole.update(config)), "note", "decisions")
    process.items[1] = next(iter(site.state.processes[1036].items.values())) | {"entityTypeId": DECISIONS}
    assert "1 elements are visible" in said(diagnose(site), "ok", "decisions")
    decision, period = (DECISION_FIELDS[role][0] for role in ("decision", "period"))
    process.fields[decision]["items"][0]["VALUE"] = "Поддержать"
    process.fields[period]["type"] = "boolean"
    found = diagnose(site)
    assert "mean nothing to Estafeta: Поддержать." in said(found, "fail", "decisions")
    assert "decisions.fields.period (type boolean, needed date or datetime or string)" in said(found, "fail")
    translated = config["decisions"] | {"decision_values": {"Поддержать": "accepted"}}
    assert "Поддержать" not in said(diagnose(site, lambda whole: whole.update(decisions=translated)), "fail")


def test_the_process_of_agreements_is_looked_at(site: Site) -> None:
    """The process of decisions lends its fields: one of them has a type that no agreement can be read from."""
    site.state.processes[DECISIONS] = process = decision_process()
    decision, reason, period, ratee = (DECISION_FIELDS[role][0] for role in ("decision", "reason", "period", "ratee"))
    fields = {
        "process": decision,
        "rater_department": reason,
        "ratee_department": reason,
        "text": reason,
        "due": period,
    }
    config = {"agreements": {"entity_type_id": DECISIONS, "fields": fields}}
    assert "nothing is agreed yet" in said(diagnose(site, lambda whole: whole.update(config)), "note", "agreements")
    process.items[1] = next(iter(site.state.processes[1036].items.values())) | {"entityTypeId": DECISIONS}
    assert "every mapped field fits" in said(diagnose(site), "ok", "agreements")
    config["agreements"]["fields"] = fields | {"text": ratee}
    found = said(diagnose(site, lambda whole: whole.update(config)), "fail", "agreements")
    assert "agreements.fields.text (type employee, needed string or text)" in found


def test_a_field_of_decisions_that_does_not_exist_is_named(site: Site) -> None:
    site.state.processes[DECISIONS] = process = decision_process()
    del process.fields[DECISION_FIELDS["reason"][0]]
    found = diagnose(site, lambda whole: whole.update(decisions=decision_config()))
    assert "decisions maps reason to the field ufCrm23Reason" in said(found, "fail", "decisions")
