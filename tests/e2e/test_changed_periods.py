"""A run reads what changed and nothing else, and misses nothing that did."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml

from assets.changes import RenamedProcessError, due_months, find_changes, months_between, pending, spans
from assets.crm import ForgottenMonthError
from pipelines.automation import changed_months
from pipelines.lock import run_lock
from sources.stand_in.state import SmartProcess
from tests.e2e.conftest import NOW, Site
from tests.e2e.test_truth import assert_equal_to_truth

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)


def look(site: Site, *, sweep: bool = True) -> list[date]:
    with site.settings.portal() as portal:
        return find_changes(portal, site.settings.vault(), site.settings.terms, sweep=sweep).months


def tomorrow(site: Site) -> None:
    site.portal.admin.set_clock(NOW + timedelta(days=1))


def of_october(site: Site) -> tuple[dict[str, Any], SmartProcess, list[int]]:
    """Configuration, process and live elements of October, oldest first."""
    config = site.state.config["processes"][0]
    process = site.state.processes[config["entity_type_id"]]
    return config, process, [number for number, item in process.items.items() if item["createdTime"] < "2026-11"]


def test_nothing_changed_means_nothing_to_read_beyond_the_open_month(tiny_site: Site) -> None:
    assert look(tiny_site) == []
    tomorrow(tiny_site)
    assert look(tiny_site) == []
    with tiny_site.settings.portal() as portal:
        today = portal.now.date()
    vault, terms = tiny_site.settings.vault(), tiny_site.settings.terms
    assert due_months(vault, terms, today, with_open=False) == []
    assert due_months(vault, terms, today, with_open=True) == [NOVEMBER]


def test_an_edit_is_found_by_its_time(tiny_site: Site) -> None:
    config, process, october = of_october(tiny_site)
    tiny_site.portal.admin.edit_item(process.entity_type_id, october[0], {config["fields"]["comment"]: "исправлено"})
    assert look(tiny_site, sweep=False) == [OCTOBER]


def test_a_deletion_is_found_by_the_count(tiny_site: Site) -> None:
    _, process, october = of_october(tiny_site)
    tiny_site.portal.admin.delete_item(process.entity_type_id, october[0])
    assert look(tiny_site) == [OCTOBER]
    tiny_site.run()
    assert_equal_to_truth(tiny_site)
    tiny_site.portal.admin.restore_item(process.entity_type_id, october[0])
    tiny_site.run()
    assert_equal_to_truth(tiny_site)


def test_a_deletion_without_a_sweep_stays_visible_until_somebody_sweeps(tiny_site: Site) -> None:
    _, process, october = of_october(tiny_site)
    tiny_site.portal.admin.delete_item(process.entity_type_id, october[0])
    for _ in range(2):
        with tiny_site.settings.portal() as portal:
            found = find_changes(portal, tiny_site.settings.vault(), tiny_site.settings.terms, sweep=False)
        assert found.wants_sweep
        assert found.months == []
    assert look(tiny_site) == [OCTOBER]


def test_an_import_with_an_old_time_is_found_by_the_count(tiny_site: Site) -> None:
    _, process, october = of_october(tiny_site)
    item = process.items[october[0]] | {"id": process.next_id}
    tiny_site.portal.admin.put_item(process.entity_type_id, item)
    assert look(tiny_site) == [OCTOBER]


def test_an_edit_with_an_old_time_is_found_by_the_sweep_of_the_day(tiny_site: Site) -> None:
    config, process, october = of_october(tiny_site)
    item = process.items[october[0]]
    old = item["createdTime"][:-7] + "1" + item["createdTime"][-6:]
    changed = {config["fields"]["comment"]: "исправлено задним числом", "updatedTime": old}
    assert item["updatedTime"] != old
    tiny_site.portal.admin.put_item(process.entity_type_id, item | changed)
    assert look(tiny_site) == [], "swept today already, and no count shows it"
    tomorrow(tiny_site)
    assert look(tiny_site) == [OCTOBER]


def test_a_rating_that_moves_makes_both_months_be_read(tiny_site: Site) -> None:
    monthly = next(item for item in tiny_site.state.config["processes"] if item["cadence"] == "month")
    entity, period = monthly["entity_type_id"], monthly["fields"]["period"]
    moving = next(
        number
        for number, item in tiny_site.state.processes[entity].items.items()
        if item["createdTime"] > "2026-11" and str(item[period]).startswith("2026-10")
    )
    tiny_site.portal.admin.edit_item(entity, moving, {period: "2026-11-01T03:00:00+03:00"})
    assert look(tiny_site, sweep=False) == [OCTOBER, NOVEMBER]


def test_a_renamed_option_makes_every_month_be_read(tiny_site: Site) -> None:
    config, process, _ = of_october(tiny_site)
    options = process.fields[config["fields"]["score"]]["items"]
    options[0]["VALUE"] = "4 — хорошо, но не отлично"
    assert look(tiny_site, sweep=False) == [OCTOBER, NOVEMBER]
    tiny_site.run()
    assert_equal_to_truth(tiny_site)


def test_what_was_found_and_not_read_is_left_to_the_next_run(tiny_site: Site) -> None:
    config, process, october = of_october(tiny_site)
    tiny_site.portal.admin.edit_item(process.entity_type_id, october[0], {config["fields"]["comment"]: "исправлено"})
    assert look(tiny_site) == [OCTOBER]
    assert look(tiny_site) == [OCTOBER]
    tiny_site.run(first="2026-11", last="2026-11")
    assert pending(tiny_site.settings.vault()) == {OCTOBER}
    tiny_site.run()
    assert pending(tiny_site.settings.vault()) == set()
    assert_equal_to_truth(tiny_site)


def test_a_destroyed_month_is_never_read_again(tiny_site: Site) -> None:
    from assets.changes import forget

    before = tiny_site.tables()["dwh.fct_rating"]
    vault, terms = tiny_site.settings.vault(), tiny_site.settings.terms
    forget(vault, terms, OCTOBER, NOW.date())
    config, process, october = of_october(tiny_site)
    tiny_site.portal.admin.edit_item(process.entity_type_id, october[0], {config["fields"]["comment"]: "исправлено"})
    tiny_site.portal.admin.delete_item(process.entity_type_id, october[1])
    tomorrow(tiny_site)
    assert look(tiny_site) == []
    tiny_site.run()
    after = tiny_site.tables()["dwh.fct_rating"]
    assert before.equals(after), "a destroyed month changed, or one of its duplicates came back to life"
    with pytest.raises(ForgottenMonthError, match="2026-10"):
        tiny_site.run(first="2026-10")


def test_destroyed_months_keep_their_rows_when_policy_and_processes_change(tiny_site: Site) -> None:
    from assets.changes import forget

    before = tiny_site.rows("SELECT * FROM dwh.fct_rating WHERE period = '2026-10-01' ORDER BY ALL")
    forget(tiny_site.settings.vault(), tiny_site.settings.terms, OCTOBER, NOW.date())
    gone = tiny_site.config["processes"].pop()
    tiny_site.config["policies"] = [{"process": "*", "valid_from": "2020-01-02", "mode": "named_to_hr"}]
    tiny_site.file.write_text(yaml.safe_dump(tiny_site.config, allow_unicode=True), encoding="utf-8")
    tiny_site.run()
    after = tiny_site.rows("SELECT * FROM dwh.fct_rating ORDER BY ALL")
    pd.testing.assert_frame_equal(after, before)
    assert gone["key"] in tiny_site.rows("SELECT process_key FROM dwh.dim_process")["process_key"].tolist()


def test_an_expected_rating_of_a_destroyed_month_does_not_name_a_rating_that_is_hidden_by_now(tiny_site: Site) -> None:
    from assets.changes import forget

    query = "SELECT * FROM hr.fct_obligation WHERE period = '2026-10-01' ORDER BY ALL"
    before = tiny_site.rows(query)
    later = before["rated_on"].astype("str") >= "2026-11-01"
    assert later.any()
    forget(tiny_site.settings.vault(), tiny_site.settings.terms, OCTOBER, NOW.date())
    tiny_site.config["policies"] = [{"process": "*", "valid_from": "2020-01-02", "mode": "aggregate"}]
    tiny_site.file.write_text(yaml.safe_dump(tiny_site.config, allow_unicode=True), encoding="utf-8")
    tiny_site.run()
    named = set(zip(before["process_key"][later], before["rating_id"][later], strict=True))
    after = tiny_site.rows(query)
    shown = set(zip(after["process_key"], after["rating_id"], strict=True))
    ratings = tiny_site.rows("SELECT process_key, rating_id FROM hr.fct_rating")
    hidden = named - set(ratings.itertuples(index=False, name=None))
    assert hidden
    assert not shown & hidden
    assert len(after) == len(before) - len(hidden)


def test_a_lower_threshold_judges_destroyed_months_by_the_one_of_their_day(tiny_site: Site) -> None:
    from assets.changes import forget

    before = tiny_site.rows("SELECT * FROM mart.rule_violation WHERE period_from = '2026-10-01' ORDER BY ALL")
    assert len(before)
    forget(tiny_site.settings.vault(), tiny_site.settings.terms, OCTOBER, NOW.date())
    for process in tiny_site.config["processes"]:
        process["comment_required_below"] = 2
    tiny_site.file.write_text(yaml.safe_dump(tiny_site.config, allow_unicode=True), encoding="utf-8")
    tiny_site.run()
    after = tiny_site.rows("SELECT * FROM mart.rule_violation WHERE period_from = '2026-10-01' ORDER BY ALL")
    pd.testing.assert_frame_equal(after, before)


def test_a_rating_of_a_destroyed_month_that_moves_stays_published_where_it_was(tiny_site: Site) -> None:
    from assets.changes import forget

    monthly = next(item for item in tiny_site.state.config["processes"] if item["cadence"] == "month")
    entity, period = monthly["entity_type_id"], monthly["fields"]["period"]
    items = tiny_site.state.processes[entity].items
    movable = [number for number, item in items.items() if item["createdTime"] > "2026-11"]
    old = next(number for number in movable if str(items[number][period]).startswith("2026-10"))
    new = next(number for number in movable if str(items[number][period]).startswith("2026-11"))
    query = f"SELECT * FROM dwh.fct_rating WHERE process_key = '{monthly['key']}' AND rating_id IN ({old}, {new})"
    before = tiny_site.rows(f"{query} ORDER BY rating_id")
    forget(tiny_site.settings.vault(), tiny_site.settings.terms, OCTOBER, NOW.date())
    tiny_site.portal.admin.edit_item(entity, old, {period: "2026-11-01T03:00:00+03:00"})
    tiny_site.portal.admin.edit_item(entity, new, {period: "2026-10-01T03:00:00+03:00"})
    tomorrow(tiny_site)
    tiny_site.run()
    after = tiny_site.rows(f"{query} ORDER BY rating_id")
    pd.testing.assert_series_equal(after["period"], before["period"])
    tiny_site.portal.admin.advance_clock(2)
    assert look(tiny_site) == []


def test_a_reassigned_task_is_found_within_a_day(tiny_site: Site) -> None:
    reassign(tiny_site)
    assert look(tiny_site) == []
    tomorrow(tiny_site)
    assert look(tiny_site) == [OCTOBER]


def reassign(site: Site) -> None:
    """Lets setter and executor of a rated task of October change places."""
    config, process, october = of_october(site)
    rated = next(number for number in october if process.items[number].get(config["fields"]["task"]))
    task = site.state.tasks[process.items[rated][config["fields"]["task"]]]
    task["createdBy"], task["responsibleId"] = task["responsibleId"], task["createdBy"]


def test_an_edit_an_import_and_a_reassigned_task_are_read_and_then_there_is_nothing_to_read(tiny_site: Site) -> None:
    config, process, october = of_october(tiny_site)
    reassign(tiny_site)
    admin = tiny_site.portal.admin
    admin.edit_item(process.entity_type_id, october[0], {config["fields"]["comment"]: "исправлено"})
    admin.put_item(process.entity_type_id, process.items[october[1]] | {"id": process.next_id})
    # Within the second of the edit nobody can tell whether it was read.
    admin.advance_clock(2)
    tiny_site.run()
    assert_equal_to_truth(tiny_site)
    assert look(tiny_site) == []


def test_a_renamed_process_key_is_refused(tiny_site: Site) -> None:
    before = tiny_site.tables()
    tiny_site.config["processes"][0]["key"] = "renamed"
    tiny_site.config["policies"] = [{"process": "*", "valid_from": "2020-01-01", "mode": "open"}]
    tiny_site.file.write_text(yaml.safe_dump(tiny_site.config, allow_unicode=True), encoding="utf-8")
    with pytest.raises(RenamedProcessError, match="renamed"):
        tiny_site.run()
    for name, frame in tiny_site.tables().items():
        pd.testing.assert_frame_equal(frame, before[name], obj=name)


def test_a_warehouse_restored_from_before_a_move_opens_nothing(tiny_site: Site) -> None:
    """Of the two memories of who was where, the one that knows more is believed."""
    backup = tiny_site.folder / "backup"
    shutil.copytree(tiny_site.folder / "warehouse", backup, symlinks=True)
    mover = next(number for number, row in tiny_site.state.users.items() if row["UF_DEPARTMENT"] == [14])
    tiny_site.state.users[mover]["UF_DEPARTMENT"] = [20]
    tomorrow(tiny_site)
    tiny_site.run()
    versions = f"SELECT department_id, toString(valid_from) AS day FROM dwh.dim_employee WHERE employee_id = {mover}"
    before = tiny_site.rows(f"{versions} ORDER BY day")
    assert before["department_id"].tolist() == [14, 20]
    shutil.rmtree(tiny_site.folder / "warehouse")
    shutil.copytree(backup, tiny_site.folder / "warehouse", symlinks=True)
    tiny_site.portal.admin.set_clock(NOW + timedelta(days=2))
    tiny_site.run()
    pd.testing.assert_frame_equal(tiny_site.rows(f"{versions} ORDER BY day"), before)


# --- in Dagster -----------------------------------------------------------------------------------------------------


def tick(site: Site) -> list[Any]:
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"settings": site.settings})
        return list(changed_months(context))  # type: ignore[arg-type]


def test_the_sensor_asks_for_the_changed_months_and_for_a_sweep_a_day(tiny_site: Site) -> None:
    assert [type(answer) for answer in tick(tiny_site)] == [dg.SkipReason]
    config, process, october = of_october(tiny_site)
    tiny_site.portal.admin.edit_item(process.entity_type_id, october[0], {config["fields"]["comment"]: "исправлено"})
    (request,) = tick(tiny_site)
    assert request.job_name == "ratings"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-10"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-10"
    tiny_site.portal.admin.advance_clock(2)
    tiny_site.run()
    tomorrow(tiny_site)
    assert [answer.job_name for answer in tick(tiny_site)] == ["sweep"]


def test_the_sensor_waits_while_a_run_holds_the_lock(tiny_site: Site) -> None:
    with run_lock(tiny_site.settings.state_path):
        (answer,) = tick(tiny_site)
    assert isinstance(answer, dg.SkipReason)
    assert "Another run" in str(answer.skip_message)


# --- which runs -----------------------------------------------------------------------------------------------------


def month(number: int) -> date:
    return date(2025 + number // 12, number % 12 + 1, 1)


@pytest.mark.parametrize(
    ("months", "destroyed", "expected"),
    [
        ([], [], []),
        ([3], [], [(3, 3)]),
        ([3, 4, 5], [], [(3, 5)]),
        ([5, 3], [], [(3, 5)]),
        ([3, 6], [], [(3, 6)]),
        ([3, 7], [], [(3, 3), (7, 7)]),
        ([3, 5], [4], [(3, 3), (5, 5)]),
        ([0, 11, 12], [], [(0, 0), (11, 12)]),
    ],
)
def test_runs_cover_the_months_and_bridge_small_gaps(
    months: list[int], destroyed: list[int], expected: list[tuple[int, int]]
) -> None:
    found = spans(map(month, months), map(month, destroyed))
    assert found == [(month(first), month(last)) for first, last in expected]


def test_months_between_cross_the_year() -> None:
    assert months_between(date(2025, 11, 30), date(2026, 2, 1)) == [month(number) for number in (10, 11, 12, 13)]
    assert months_between(date(2026, 2, 1), date(2026, 1, 31)) == []
