"""Everything a portal does besides answering well: writing, limits, faults, quirks, rights that go away."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import httpx
import pytest

from sources.stand_in.limits import ALWAYS, Fault, FaultKind
from sources.stand_in.server import StandInPortal
from tests.stand_in.test_server import HTTP, ask, batch, error, ids, items, post

Start = Callable[..., StandInPortal]
ITEM = "crm.item.get"


def element(portal: StandInPortal, number: int) -> Any:
    return ask(portal, ITEM, {"entityTypeId": 1036, "id": number})["result"]["item"]


def write(portal: StandInPortal, verb: str, **params: Any) -> Any:
    return ask(portal, f"crm.item.{verb}", {"entityTypeId": 1036, **params})["result"]


# --- Writing ---


def test_an_added_element_belongs_to_the_webhooks_owner_and_ignores_what_may_not_be_set(portal: StandInPortal) -> None:
    fields = {"title": "Новая", "ufCrm7_1": 4, "createdTime": "2020-01-01T00:00:00+03:00", "nosuch": 1}
    added = write(portal, "add", fields=fields)["item"]
    assert (added["id"], added["title"], added["ufCrm7_1"], added["createdBy"]) == (121, "Новая", 4, 1)
    assert added["createdTime"].startswith("2026-06-01T15:00")
    assert "nosuch" not in added
    assert element(portal, 121) == added
    original = write(portal, "add", fields={"UF_CRM_7_1": 3}, useOriginalUfNames="Y")["item"]
    assert original["ufCrm7_1"] == 3


def test_an_update_that_changes_nothing_is_no_update(portal: StandInPortal) -> None:
    before = element(portal, 5)
    assert write(portal, "update", id=5, fields={"title": before["title"]})["item"] == before
    after = write(portal, "update", id=5, fields={"title": "Другая"})["item"]
    assert after["updatedTime"] > before["updatedTime"]
    assert after["updatedBy"] == 1


def test_a_deleted_element_is_not_found_any_more(portal: StandInPortal) -> None:
    assert write(portal, "delete", id=5) == []
    assert error(portal, "crm.item.delete", {"entityTypeId": 1036, "id": 5})[:2] == (400, "NOT_FOUND")
    assert items(portal)["total"] == 119


def test_values_are_checked(portal: StandInPortal) -> None:
    fields = portal.state.processes[1036].fields
    fields["ufCrm7_9"] = {"type": "enumeration", "isRequired": True, "items": [{"ID": "91", "VALUE": "5"}]}
    try:
        add = {"entityTypeId": 1036}
        assert error(portal, "crm.item.add", {**add, "fields": {}})[1] == "CRM_FIELD_ERROR_REQUIRED"
        wrong = {**add, "fields": {"ufCrm7_9": 5}}
        assert error(portal, "crm.item.add", wrong)[1] == "CRM_FIELD_ERROR_VALUE_NOT_VALID"
        scalar = {**add, "fields": {"ufCrm7_9": "91", "ufCrm7_6": 1}}
        assert error(portal, "crm.item.add", scalar)[:2] == (400, 100)
        assert error(portal, "crm.item.add", add)[:2] == (400, 100)
        assert write(portal, "add", fields={"ufCrm7_9": "91"})["item"]["ufCrm7_9"] == 91
    finally:
        del fields["ufCrm7_9"]


def test_an_import_may_be_dated_in_the_past(portal: StandInPortal) -> None:
    old = {"createdTime": "2026-01-01T10:00:00+03:00", "updatedTime": "2026-01-02T10:00:00+03:00", "title": "Старая"}
    future = {"createdTime": "2030-01-01T10:00:00+03:00"}
    backwards = old | {"updatedTime": "2025-12-01T10:00:00+03:00"}
    rows = write(portal, "batchImport", data=[old, future, backwards])["items"]
    assert rows[0] == {"item": {"id": 121}}
    assert [row["error"] for row in rows[1:]] == ["INVALID_ARG_VALUE", "INVALID_ARG_VALUE"]
    assert element(portal, 121)["updatedTime"] == old["updatedTime"]
    too_many = {"entityTypeId": 1036, "data": [old] * 21}
    assert error(portal, "crm.item.batchImport", too_many)[1] == "MAX_IMPORT_BATCH_SIZE_EXCEEDED"


def test_what_a_batch_writes_its_later_lists_show(portal: StandInPortal) -> None:
    listing = "crm.item.list?entityTypeId=1036&filter[>id]=119&select[0]=id"
    answer = batch(portal, {"a": listing, "b": "crm.item.delete?entityTypeId=1036&id=120", "c": listing})
    assert ids(answer["result"]["a"]["items"]) == [120]
    assert answer["result"]["c"]["items"] == []


def test_smart_processes_are_made_and_found(portal: StandInPortal) -> None:
    made = ask(portal, "crm.type.add", {"fields": {"title": "Новый", "entityTypeId": 1100}})["result"]["type"]
    assert ask(portal, "crm.type.get", {"id": made["id"]})["result"]["type"]["entityTypeId"] == 1100
    found = ask(portal, "crm.type.getByEntityTypeId", {"entityTypeId": 1100})["result"]["type"]
    assert found["title"] == "Новый"
    assert ask(portal, "crm.item.add", {"entityTypeId": 1100, "fields": {"title": "x"}})["result"]["item"]["id"] == 1
    assert error(portal, "crm.type.get", {"id": 999})[:2] == (400, 0)
    for number in (1101, 200, 1036):
        wrong = {"fields": {"title": "x", "entityTypeId": number}}
        assert error(portal, "crm.type.add", wrong)[:2] == (400, "INVALID_ARG_VALUE")
    assert ask(portal, "crm.type.add", {"fields": {"title": "y"}})["result"]["type"]["entityTypeId"] == 1102


def test_user_fields_need_both_scopes_and_show_options_one_by_one(portal: StandInPortal) -> None:
    params = {"moduleId": "crm", "filter": {"entityId": "CRM_7"}}
    assert error(portal, "userfieldconfig.list", params)[:2] == (403, "insufficient_scope")
    portal.scopes.add("userfieldconfig")
    found = ask(portal, "userfieldconfig.list", params)
    assert [row["fieldName"] for row in found["result"]["fields"]][:2] == ["UF_CRM_7_1", "UF_CRM_7_2"]
    assert found["total"] == 6
    one = ask(portal, "userfieldconfig.get", {"moduleId": "crm", "id": found["result"]["fields"][5]["id"]})
    assert one["result"]["field"]["multiple"] == "Y"
    assert error(portal, "userfieldconfig.get", {"moduleId": "crm", "id": 1})[:2] == (400, "")
    portal.scopes.discard("crm")
    assert error(portal, "userfieldconfig.list", params)[2] == "The current method required more scopes. (crm)"


@pytest.mark.parametrize(
    ("own", "rest"),
    [
        ("SCORE", "ufCrm7Score"),
        ("SCORE_OF_TASK", "ufCrm7ScoreOfTask"),
        ("1700000001", "ufCrm7_1700000001"),
        ("SCORE1", "ufCrm_7_SCORE1"),
        ("SCORE_1", "ufCrm_7_SCORE_1"),
    ],
)
def test_a_new_user_field_is_in_the_process_under_its_rest_name(portal: StandInPortal, own: str, rest: str) -> None:
    portal.scopes.add("userfieldconfig")
    listed = {"moduleId": "crm", "filter": {"entityId": "CRM_7"}}
    before = ask(portal, "userfieldconfig.list", listed)["result"]["fields"]
    field = {
        "entityId": "CRM_7",
        "fieldName": f"UF_CRM_7_{own}",
        "userTypeId": "enumeration",
        "editFormLabel": {"ru": "Оценка"},
        "enum": [{"value": "5 — отлично"}, {"value": "4 — хорошо"}],
    }
    made = ask(portal, "userfieldconfig.add", {"moduleId": "crm", "field": field})["result"]["field"]
    assert [option["value"] for option in made["enum"]] == ["5 — отлично", "4 — хорошо"]
    assert ask(portal, "userfieldconfig.get", {"moduleId": "crm", "id": made["id"]})["result"]["field"] == made
    # The others keep their ids.
    assert ask(portal, "userfieldconfig.list", listed)["result"]["fields"][: len(before)] == before
    definition = ask(portal, "crm.item.fields", {"entityTypeId": 1036})["result"]["fields"][rest]
    assert (definition["type"], definition["title"], definition["upperName"]) == (
        "enumeration",
        "Оценка",
        f"UF_CRM_7_{own}",
    )
    chosen = int(made["enum"][0]["id"])
    ask(portal, "crm.item.update", {"entityTypeId": 1036, "id": 2, "fields": {rest: chosen}})
    rows = ask(portal, "crm.item.list", {"entityTypeId": 1036, "select": ["id", rest], "filter": {"<=id": 2}})
    assert rows["result"]["items"] == [{"id": 1, rest: None}, {"id": 2, rest: chosen}]


@pytest.mark.parametrize(
    ("module", "change", "words"),
    [
        ("tasks", {}, "module"),
        ("crm", {"entityId": "CRM_999"}, "permission"),
        ("crm", {"fieldName": "UF_CRM_8_X"}, "UF_CRM_7_"),
        ("crm", {"fieldName": "UF_CRM_7_оценка"}, "UF_CRM_7_"),
        ("crm", {"fieldName": "UF_CRM_7_" + "X" * 50}, "UF_CRM_7_"),
        ("crm", {"fieldName": "UF_CRM_7_1"}, "already exists"),
        ("crm", {"userTypeId": "score"}, "type"),
    ],
)
def test_a_user_field_that_cannot_be_is_refused(
    portal: StandInPortal, module: str, change: dict[str, str], words: str
) -> None:
    portal.scopes.add("userfieldconfig")
    fields = portal.state.processes[1036].fields
    field = {"entityId": "CRM_7", "fieldName": "UF_CRM_7_X", "userTypeId": "string", **change}
    status, code, said = error(portal, "userfieldconfig.add", {"moduleId": module, "field": field})
    assert (status, code) == (400, "")
    assert words in said
    assert portal.state.processes[1036].fields == fields


def test_the_owners_profile_needs_no_scope(portal: StandInPortal) -> None:
    portal.scopes.clear()
    profile = ask(portal, "profile")["result"]
    assert (profile["ID"], profile["ADMIN"], profile["LAST_NAME"]) == ("1", True, "Ким 1")
    # It is the way to learn whose webhook it is without seeing an address.
    assert "EMAIL" not in profile


def test_stage_history_has_upper_case_rows(portal: StandInPortal) -> None:
    portal.admin.edit_item(1036, 3, {"stageId": "DT1036_54:FAIL"})
    rows = ask(portal, "crm.stagehistory.list", {"entityTypeId": 1036, "filter": {"OWNER_ID": 3}})["result"]["items"]
    assert [(row["TYPE_ID"], row["STAGE_ID"], row["STAGE_SEMANTIC_ID"]) for row in rows] == [
        (1, "DT1036_54:SUCCESS", "S"),
        (3, "DT1036_54:FAIL", "F"),
    ]


def test_notifications_arrive(portal: StandInPortal) -> None:
    sent = {"USER_ID": 5, "MESSAGE": "Прогон не удался"}
    assert error(portal, "im.notify.system.add", sent)[1] == "insufficient_scope"
    portal.scopes.add("im")
    assert ask(portal, "im.notify.system.add", sent)["result"] == 1
    assert error(portal, "im.notify.system.add", {"USER_ID": 5})[:2] == (400, "MESSAGE_EMPTY")
    assert portal.notifications == [sent] == HTTP.get(portal.admin_url + "notifications").json()


# --- Limits ---


@pytest.mark.parametrize(("billing", "inner", "outer"), [("inner", 0.9, 0), ("outer", 0, 0.4)])
def test_a_batch_is_billed_to_its_commands_or_to_itself(
    start_portal: Start, billing: str, inner: float, outer: float
) -> None:
    costs = {"scope": 0.3, "batch": 0.4}
    portal = start_portal(
        rate_per_second=None, operating_cost=lambda method, _: costs.get(method, 0.0), batch_billing=billing
    )
    answer = ask(portal, "batch", {"cmd": {"a": "scope", "b": "scope", "c": "scope"}})
    assert answer["result"]["result_time"]["c"]["operating"] == pytest.approx(inner)
    assert answer["time"]["operating"] == outer


def test_a_portal_that_bills_batches_blocks_the_whole_batch(start_portal: Start) -> None:
    portal = start_portal(
        rate_per_second=None, operating_limit=1.0, operating_cost=lambda *_: 0.6, batch_billing="outer"
    )
    codes = [post(portal, "batch", {"cmd": {"a": "scope"}}).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert ask(portal, "scope")["result"]


# --- Faults ---


def test_every_fault_is_gone_after_the_request_it_spoils(portal: StandInPortal) -> None:
    command = {"cmd": {"a": "server.time", "b": "scope"}}
    sound = set(ask(portal, "batch", command)["result"]["result"])
    for kind in get_args(FaultKind):
        portal.faults.append(Fault(kind))
        try:
            answer = post(portal, "batch", command)
            result = answer.json()["result"]
            spoiled = answer.status_code != 200 or not result or result["result_error"] or set(result["result"]) < sound
            spoiled = spoiled or "error" in result["result"]["a"]
        except (httpx.RemoteProtocolError, ValueError, KeyError):
            spoiled = True
        assert spoiled or kind == "slow", kind
        assert portal.faults == []
        assert set(ask(portal, "batch", command)["result"]["result"]) == sound


def test_a_connection_that_breaks_in_the_middle_of_a_body(portal: StandInPortal) -> None:
    portal.faults.append(Fault("drop_mid_body"))
    received = b""
    body = {"entityTypeId": 1036}
    with HTTP.stream("POST", portal.webhook + "crm.item.list", json=body) as answer:
        assert answer.status_code == 200
        parts = answer.iter_raw()
        while True:
            try:
                received += next(parts)
            except httpx.RemoteProtocolError:
                break
    assert 0 < len(received) < int(answer.headers["content-length"])


def test_an_answer_without_a_body_or_without_a_result(portal: StandInPortal) -> None:
    portal.faults += [Fault("empty_body"), Fault("null_result")]
    assert post(portal, "scope").content == b""
    answer = ask(portal, "crm.item.list", {"entityTypeId": 1036})
    assert (answer["result"], answer["total"]) == (None, 120)


def test_a_webhook_that_expires_stays_expired(portal: StandInPortal) -> None:
    portal.faults.append(Fault("expired_token", at=3, times=ALWAYS))
    codes = [post(portal, "scope").status_code for _ in range(5)]
    assert codes == [200, 200, 401, 401, 401]
    assert error(portal, "scope")[1] == "expired_token"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("overload_limit", 503, "OVERLOAD_LIMIT"),
        ("invalid_credentials", 401, "INVALID_CREDENTIALS"),
        ("access_denied", 403, "ACCESS_DENIED"),
    ],
)
def test_refusals_of_a_whole_request(portal: StandInPortal, kind: FaultKind, status: int, code: str) -> None:
    portal.faults.append(Fault(kind))
    assert error(portal, "scope")[:2] == (status, code)


def test_commands_of_a_batch_fail_in_every_way(portal: StandInPortal) -> None:
    command = {"a": "scope", "b": "server.time"}
    portal.faults.append(Fault("batch_operation_time_limit", method="server.time"))
    blocked = batch(portal, command)
    assert blocked["result_error"]["b"]["error"] == "OPERATION_TIME_LIMIT"
    assert blocked["result_time"]["b"]["operating_reset_at"] > portal.clock.epoch()
    portal.faults.append(Fault("batch_result_is_error"))
    assert batch(portal, command)["result"]["a"]["error"] == "INTERNAL_SERVER_ERROR"
    portal.faults.append(Fault("batch_missing_command", command=1))
    missing = batch(portal, command)
    assert set(missing["result"]) == {"a"}
    assert missing["result_error"] == []


def test_faults_are_scripted_over_http(portal: StandInPortal) -> None:
    url = portal.admin_url + "faults"
    assert HTTP.post(url, json={"kind": "html_503", "method": "scope", "times": 2}).status_code == 200
    assert [(fault["kind"], fault["times"]) for fault in HTTP.get(url).json()] == [("html_503", 2)]
    answer = post(portal, "scope")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (503, "text/html")
    assert HTTP.post(url + "/clear").status_code == 200
    assert ask(portal, "scope")["result"]
    refused = HTTP.post(url, json={"kind": "earthquake"})
    assert refused.status_code == 400
    assert "unknown fault 'earthquake'" in refused.json()["error"]


# --- Rights that go away ---


def test_rights_that_are_taken_between_pages(portal: StandInPortal) -> None:
    def revoke(number: int) -> None:
        if number == 2:
            portal.admin.hide_item(1036, 60)

    portal.between_requests = revoke
    first = ids(items(portal, start=-1)["result"]["items"])
    second = ids(items(portal, start=-1, filter={">id": first[-1]})["result"]["items"])
    assert 60 not in second
    assert len(second) == 50
    assert error(portal, ITEM, {"entityTypeId": 1036, "id": 60})[:2] == (400, "ACCESS_DENIED")
    for verb in ("update", "delete"):
        params = {"entityTypeId": 1036, "id": 60, "fields": {"title": "x"}}
        assert error(portal, f"crm.item.{verb}", params)[1] == "ACCESS_DENIED"
    HTTP.post(portal.admin_url + "show", json={"entityTypeId": 1036, "id": 60})
    assert element(portal, 60)["id"] == 60
    HTTP.post(portal.admin_url + "hide", json={"entityTypeId": 1036, "id": 60})
    assert items(portal)["total"] == 119


# --- Quirks ---


def test_iso_filters_may_match_nothing(start_portal: Start) -> None:
    portal = start_portal(rate_per_second=None, quirks={"iso_datetime_filter": False})
    since = portal.state.processes[1036].items[100]["updatedTime"]
    assert items(portal, filter={">=updatedTime": since})["total"] == 0
    assert items(portal, filter={"=updatedTime": since})["total"] == 0
    assert items(portal, filter={">=updatedTime": since[:19].replace("T", " ")})["total"] == 21
    assert items(portal, filter={">=updatedTime": "2026-03-02"})["total"] == 120
    assert items(portal, filter={"0": {"logic": "OR", "0": {">=updatedTime": since}, "1": {"id": 1}}})["total"] == 1
    assert items(portal, filter={">=ufCrm7_5": "2026-03-01T00:00:00+03:00"})["total"] == 60, "dates are no moments"


def test_fields_may_come_back_under_their_original_names(start_portal: Start) -> None:
    portal = start_portal(rate_per_second=None, quirks={"upper_field_names": True})
    row = items(portal, select=["id", "ufCrm7_1"])["result"]["items"][0]
    assert row == {"id": 1, "UF_CRM_7_1": 2}
    assert "UF_CRM_7_2" in element(portal, 1)
    assert "ufCrm7_1" in ask(portal, "crm.item.fields", {"entityTypeId": 1036})["result"]["fields"]


def test_active_may_be_text(start_portal: Start) -> None:
    portal = start_portal(rate_per_second=None, quirks={"active_as_text": True})
    rows = ask(portal, "user.get", {"sort": "ID"})["result"]
    assert [row["ACTIVE"] for row in rows[8:10]] == ["Y", "N"]
    assert ask(portal, "user.get", {"FILTER": {"ACTIVE": "N"}})["total"] == 6
    assert portal.state.users[9]["ACTIVE"] is True


@pytest.mark.parametrize(
    ("quirks", "known"),
    [
        ({}, {"operating", "operating_reset_at"}),
        ({"operating_reset_at": False}, {"operating"}),
        ({"operating": False, "operating_reset_at": False}, set()),
    ],
)
def test_portals_say_more_or_less_about_what_calls_cost(
    start_portal: Start, quirks: dict[str, bool], known: set[str]
) -> None:
    portal = start_portal(rate_per_second=None, quirks=quirks)
    assert ask(portal, "scope")["time"].keys() & {"operating", "operating_reset_at"} == known
    answer = ask(portal, "batch", {"cmd": {"a": "scope"}})
    assert answer["result"]["result_time"]["a"].keys() & {"operating", "operating_reset_at"} == known


def test_totals_may_be_missing_and_time_in_whole_seconds(start_portal: Start) -> None:
    portal = start_portal(rate_per_second=None, quirks={"total": False, "integer_time": True})
    answer = items(portal)
    assert "total" not in answer
    assert answer["next"] == 50
    assert batch(portal, {"a": "crm.item.list?entityTypeId=1036"})["result_total"] == []
    assert isinstance(answer["time"]["start"], int)
    assert answer["time"]["processing"] == 0


def test_an_unknown_quirk_is_refused(start_portal: Start) -> None:
    with pytest.raises(TypeError, match="levitation"):
        start_portal(quirks={"levitation": True})


def test_a_portal_can_be_played_with_people_over_python(portal: StandInPortal) -> None:
    portal.admin.put_user(9, None)
    portal.admin.put_department(3, portal.state.departments[3] | {"NAME": "Цех"})
    portal.admin.put_task(1, portal.state.tasks[1] | {"title": "Другая"})
    assert ask(portal, "user.get", {"FILTER": {"ID": 9}})["result"] == []
    assert ask(portal, "department.get", {"ID": 3})["result"][0]["NAME"] == "Цех"
    assert ask(portal, "tasks.task.get", {"taskId": 1})["result"]["task"]["title"] == "Другая"
    portal.admin.put_item(1036, portal.state.processes[1036].items[5] | {"id": 700})
    assert element(portal, 700)["title"] == "Оценка #5"
    with pytest.raises(KeyError):
        portal.admin.put_user(9, None)


def listed_tasks(portal: StandInPortal, **filters: Any) -> list[int]:
    answer = ask(portal, "tasks.task.list", {"filter": filters, "order": {"ID": "asc"}})
    return [int(row["id"]) for row in answer["result"]["tasks"]]


def test_tasks_are_closed_opened_again_deleted_restored_and_hidden(portal: StandInPortal) -> None:
    portal.admin.set_clock(datetime(2026, 6, 10, 9, tzinfo=UTC))
    done = {"GROUP_ID": [11], "REAL_STATUS": 5, ">=CLOSED_DATE": "2026-06-10T12:00:00+03:00"}
    portal.admin.close_task(2)
    assert listed_tasks(portal, **done) == [2]
    row = ask(portal, "tasks.task.get", {"taskId": 2})["result"]["task"]
    assert (row["status"], row["closedDate"][:16], row["changedDate"][:16]) == (
        "5",
        "2026-06-10T12:00",
        "2026-06-10T12:00",
    )
    portal.admin.advance_clock(3600)
    portal.admin.reopen_task(2)
    assert listed_tasks(portal, **done) == []
    assert listed_tasks(portal, **{">=CHANGED_DATE": "2026-06-10T13:00:00+03:00"}) == [2]
    row = ask(portal, "tasks.task.get", {"taskId": 2})["result"]["task"]
    assert (row["status"], row["closedDate"]) == ("3", None)
    assert not portal.admin.edit_task(2, {"status": "3"})

    portal.admin.delete_task(2)
    assert listed_tasks(portal, ID=[1, 2]) == [1]
    assert ask(portal, "tasks.task.get", {"taskId": 2})["result"] == []
    portal.admin.restore_task(2)
    portal.admin.hidden_tasks.add(1)
    assert listed_tasks(portal, ID=[1, 2]) == [2]
    assert ask(portal, "tasks.task.get", {"taskId": 1})["result"] == []


def test_an_added_element_is_dated_by_the_portals_clock(portal: StandInPortal) -> None:
    portal.admin.set_clock(datetime(2026, 7, 1, tzinfo=UTC))
    assert write(portal, "add", fields={"title": "x"})["item"]["createdTime"].startswith("2026-07-01T03:00:0")
