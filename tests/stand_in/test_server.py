"""The stand-in portal's contract, over real HTTP."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from sources.stand_in import server
from sources.stand_in.company import generate
from sources.stand_in.limits import Clock, Fault, FaultKind, LeakyBucket, OperatingMeter
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, PortalState

Start = Callable[..., StandInPortal]

HTTP = httpx.Client(timeout=10, trust_env=False)


def post(portal: StandInPortal, method: str, params: Any = None) -> httpx.Response:
    return HTTP.post(portal.webhook + method, json=params or {})


def ask(portal: StandInPortal, method: str, params: Any = None) -> Any:
    response = post(portal, method, params)
    assert response.status_code == 200, response.text
    return response.json()


def items(portal: StandInPortal, **params: Any) -> Any:
    return ask(portal, "crm.item.list", {"entityTypeId": 1036, **params})


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def error(portal: StandInPortal, method: str, params: Any = None) -> tuple[int, Any, str]:
    response = post(portal, method, params)
    body = response.json()
    return response.status_code, body["error"], body["error_description"]


def batch(portal: StandInPortal, commands: Any, halt: int = 0) -> Any:
    return ask(portal, "batch", {"halt": halt, "cmd": commands})["result"]


# --- Transport ---


def test_every_way_to_send_parameters_reads_the_same(portal: StandInPortal) -> None:
    url = portal.webhook + "crm.item.list"
    form = "entityTypeId=1036&filter[%3E%3DupdatedTime]=2026-03-02T10%3A00%3A00%2B03%3A00&select[0]=id&order[id]=DESC&"
    plain = {
        "entityTypeId": 1036,
        "filter": {">=updatedTime": "2026-03-02T10:00:00+03:00"},
        "select": ["id"],
        "order": {"id": "DESC"},
    }
    answers = [
        HTTP.get(f"{url}?{form}"),
        HTTP.post(f"{url}.json?{form}"),
        HTTP.post(url, content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}),
        HTTP.post(url, json=plain),
        HTTP.put(url.replace("crm.item.list", "CRM.Item.List"), json=plain | {"__order": "order0000000000"}),
    ]
    results = [answer.json() for answer in answers]
    assert ids(results[0]["result"]["items"]) == list(range(120, 70, -1))
    assert all(each["result"] == results[0]["result"] and each["next"] == 50 for each in results)
    assert {each["total"] for each in results} == {61}


def test_envelope_has_the_portals_time(portal: StandInPortal) -> None:
    block = items(portal)["time"]
    assert set(block) == {
        *("start", "finish", "duration", "processing", "date_start", "date_finish"),
        *("operating_reset_at", "operating"),
    }
    assert block["date_start"].startswith("2026-06-01T15:00:0")
    assert block["date_start"].endswith("+03:00")
    assert abs(block["start"] - datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()) < 10


def test_credentials_scopes_and_methods(portal: StandInPortal) -> None:
    wrong = portal.webhook.rstrip("/") + "x/user.get"
    answer = HTTP.get(wrong)
    assert (answer.status_code, answer.json()["error"]) == (401, "INVALID_CREDENTIALS")
    assert error(portal, "crm.nosuch.list")[:2] == (404, "ERROR_METHOD_NOT_FOUND")
    assert HTTP.get(portal.webhook.split("/rest/")[0] + "/rest/user.get").status_code == 404
    portal.scopes.discard("task")
    assert error(portal, "tasks.task.list")[:2] == (403, "insufficient_scope")
    assert ask(portal, "scope")["result"] == ["crm", "department", "user_brief"]
    assert batch(portal, {"t": "tasks.task.list"})["result_error"]["t"]["error"] == "insufficient_scope"
    assert ask(portal, "server.time")["result"].endswith("+03:00")


def test_a_body_that_is_no_json_is_refused(portal: StandInPortal) -> None:
    answer = HTTP.post(portal.webhook + "user.get", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_REQUEST")


# --- Items ---


def test_counted_pages(portal: StandInPortal) -> None:
    pages = [items(portal, start=start) for start in (0, 50, 100)]
    assert [page.get("next") for page in pages] == [50, 100, None]
    assert {page["total"] for page in pages} == {120}
    assert [number for page in pages for number in ids(page["result"]["items"])] == list(range(1, 121))


def test_uncounted_keyset_pages(portal: StandInPortal) -> None:
    page = items(portal, start=-1, order={"id": "ASC"}, filter={">id": 90})
    assert "next" not in page
    assert page["total"] == 0
    assert ids(page["result"]["items"]) == list(range(91, 121))
    assert items(portal, filter={"<=id": 77})["total"] == 77


def test_select(portal: StandInPortal) -> None:
    wanted = items(portal, select=["title", "uf_*", "nosuch"])["result"]["items"][0]
    assert wanted == {"id": 1, "title": "Оценка #1"}
    everything = items(portal)["result"]["items"][0]
    assert everything == portal.state.processes[1036].items[1]
    assert items(portal, select=["*"])["result"]["items"][0] == everything


def test_original_names(portal: StandInPortal) -> None:
    row = items(portal, useOriginalUfNames="Y")["result"]["items"][0]
    assert "UF_CRM_7_1" in row
    assert "title" in row
    lost = items(portal, useOriginalUfNames="Y", select=["id"], filter={"id": 1})
    assert lost["result"]["items"] == [[]]


def test_filters_over_http(portal: StandInPortal) -> None:
    assert items(portal, filter={"ufCrm7_4": 1})["total"] == 60
    assert items(portal, filter={"ufCrm7_4": "Y"})["total"] == 120  # passed over, as the portal does
    assert items(portal, filter={"opened": "Y"})["total"] == 120
    assert items(portal, filter={"!=ufCrm7_2": ""})["total"] == 30
    assert items(portal, filter={"@id": [3, "5", 999]})["total"] == 2
    either = {"0": {"logic": "OR", "0": {"id": 4}, "1": {"ufCrm7_1": 5}}, "<id": 10}
    assert ids(items(portal, filter=either)["result"]["items"]) == [4, 9]
    for written in ("2026-03-02T06:30:00+00:00", "2026-03-02T09:30:00+03:00", "2026-03-02 09:30:00"):
        assert items(portal, filter={">=updatedTime": written, "<id": 40})["total"] == 10


def test_refused_lists(portal: StandInPortal) -> None:
    def refused(**params: Any) -> tuple[int, Any, str]:
        return error(portal, "crm.item.list", {"entityTypeId": 1036, **params})

    assert refused(filter={"x": 1}) == (
        *(400, "INVALID_ARG_VALUE"),
        "Invalid filter: field 'x' is not allowed in filter",
    )
    assert refused(order={"x": "ASC"})[2] == "Invalid order: field 'x' is not allowed in order"
    assert "allowed sort directions are `ASC, DESC`. But got 'V' for field 'id'" in refused(order={"id": "V"})[2]
    assert refused(entityTypeId=2000)[:2] == (400, "NOT_FOUND")
    assert error(portal, "crm.item.list")[:2] == (400, 100)
    assert ids(items(portal, order={"ID": "DESC"})["result"]["items"])[0] == 120


def test_get(portal: StandInPortal) -> None:
    assert ask(portal, "crm.item.get", {"entityTypeId": 1036, "id": 7})["result"]["item"]["id"] == 7
    missing = error(portal, "crm.item.get", {"entityTypeId": 1036, "id": 999})
    assert missing == (400, "NOT_FOUND", "Element not found")


def test_hidden_items(portal: StandInPortal) -> None:
    portal.hidden_items |= {(1036, 2), (1036, 120), (1036, 555)}
    assert items(portal)["total"] == 118
    assert ids(items(portal, start=-1)["result"]["items"])[:2] == [1, 3]
    assert error(portal, "crm.item.get", {"entityTypeId": 1036, "id": 2})[:2] == (400, "ACCESS_DENIED")


def test_dictionaries(portal: StandInPortal) -> None:
    assert ask(portal, "crm.item.fields", {"entityTypeId": 1036})["result"]["fields"]["ufCrm7_1"]["type"] == "integer"
    categories = ask(portal, "crm.category.list", {"entityTypeId": 1036})
    assert (categories["total"], categories["result"]["categories"][0]["id"]) == (1, 54)
    wanted = {"filter": {"ENTITY_ID": "DYNAMIC_1036_STAGE_54", "SEMANTICS": "S"}, "order": {"SORT": "DESC"}}
    assert [row["STATUS_ID"] for row in ask(portal, "crm.status.list", wanted)["result"]] == ["DT1036_54:SUCCESS"]
    everything = ask(portal, "crm.status.list", {"order": {"SORT": "DESC"}, "filter": {"<=ID": 2}})
    assert [row["ID"] for row in everything["result"]] == ["2", "1"]


def test_types(portal: StandInPortal) -> None:
    kind = ask(portal, "crm.type.list", {"order": {"id": "ASC"}})["result"]["types"][0]
    assert (kind["id"], kind["entityTypeId"]) == (7, 1036)
    status, code, text = error(portal, "crm.type.list", {"order": {"ID": "ASC"}})
    assert (status, code) == (400, 100)
    assert text.startswith("Unknown field definition `I_D` (I_D)")


# --- Users, departments, tasks ---


def test_users(portal: StandInPortal) -> None:
    page = ask(portal, "user.get")
    assert (page["total"], page["next"], len(page["result"])) == (60, 50, 50)
    assert "EMAIL" not in page["result"][0]  # user_brief has no contacts
    portal.scopes.add("user")
    assert "EMAIL" in ask(portal, "user.get", {"start": 50})["result"][0]
    dismissed = ask(portal, "user.get", {"FILTER": {"ACTIVE": False}, "sort": "ID", "order": "DESC"})
    assert [row["ID"] for row in dismissed["result"]] == ["60", "50", "40", "30", "20", "10"]
    assert ask(portal, "user.get", {"filter": {"ACTIVE": "Y"}})["total"] == 54
    assert ask(portal, "user.get", {"FILTER": {"ACTIVE": "True", "NOSUCH": 1}})["total"] == 60
    assert ask(portal, "user.get", {"ID": [3, 4]})["total"] == 2
    assert ask(portal, "user.get", {"FILTER": {"UF_DEPARTMENT": 2}})["total"] == 20
    named = ask(portal, "user.get", {"FILTER": {">ID": "58"}, "select": ["NAME", "UF_*"], "start": -1})
    assert named["result"][0] == {"ID": "59", "NAME": "Анна", "UF_DEPARTMENT": [3]}
    assert ask(portal, "user.current")["result"]["ID"] == "1"


def test_departments(portal: StandInPortal) -> None:
    assert [row["ID"] for row in ask(portal, "department.get")["result"]] == ["1", "2", "3"]
    assert [row["ID"] for row in ask(portal, "department.get", {">ID": 1, "START": -1})["result"]] == ["2", "3"]
    by_sort = ask(portal, "department.get", {"SORT": "SORT", "ORDER": "DESC"})
    assert [row["ID"] for row in by_sort["result"]] == ["2", "3", "1"]
    assert ask(portal, "department.get", {"PARENT": "1", "order": {"ID": "ASC"}})["total"] == 2


def test_tasks(portal: StandInPortal) -> None:
    def tasks(**params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(portal, "tasks.task.list", params)["result"]["tasks"]
        return found

    assert [row["id"] for row in tasks(start=50)] == [str(number) for number in range(20, 0, -1)]
    assert [row["id"] for row in tasks(filter={"ID": [5, "7"]}, order={"ID": "asc"})] == ["5", "7"]
    assert [row["id"] for row in tasks(filter={"@ID": {"0": 5}})] == ["5"]
    assert len(tasks(filter={"GROUP_ID": 11, "CREATED_BY": 2, "!RESPONSIBLE_ID": 5})) == 35
    assert len(tasks(filter={">=CHANGED_DATE": "2026-03-03T09:00:00+03:00", "REAL_STATUS": 5})) == 11
    assert tasks(filter={"ID": 5}, select=["ID", "RESPONSIBLE_ID"]) == [{"id": "5", "responsibleId": "4"}]
    assert "ufCrmTask" not in tasks()[0]
    assert tasks(filter={"ID": 5}, select=["UF_CRM_TASK"])[0]["ufCrmTask"] == ["T40c_5"]
    assert error(portal, "tasks.task.list", {"order": {"id": "ASC"}})[:2] == (400, "0")
    assert error(portal, "tasks.task.list", {"filter": {"%TITLE": "x"}})[:2] == (400, "0")
    assert ask(portal, "tasks.task.get", {"taskId": 5})["result"]["task"]["status"] == "3"
    assert ask(portal, "tasks.task.get", {"taskId": 500})["result"] == []


# --- batch ---


def linked(first: str, commands: int) -> dict[str, str]:
    base = "crm.item.list?entityTypeId=1036&start=-1&order[id]=ASC&select[0]=id&filter[%3Eid]="
    links = [f"$result[p{number}][items][49][id]" for number in range(commands - 1)]
    return {f"p{number}": base + after for number, after in enumerate([first, *links])}


def test_linked_pages_and_a_path_that_leads_nowhere(portal: StandInPortal) -> None:
    answer = batch(portal, linked("0", 5))
    pages = {name: ids(part["items"]) for name, part in answer["result"].items()}
    assert pages["p0"] + pages["p1"] + pages["p2"] == list(range(1, 121))
    assert pages["p3"] == list(range(1, 51))  # `>id` with nothing in it lets everything pass
    assert pages["p4"] == list(range(51, 101))
    assert answer["result_error"] == []
    assert answer["result_next"] == []
    assert answer["result_total"] == dict.fromkeys(linked("0", 5), 0)
    assert set(answer["result_time"]) == set(pages)


def test_batch_counts_and_whole_lists(portal: StandInPortal) -> None:
    commands = {
        "head": "department.get?ID=2",
        "user": "user.get?ID=$result[head][0][UF_HEAD]",
        "some": "crm.item.list?entityTypeId=1036&filter[@id]=$result[user][0][UF_DEPARTMENT]",
        "many": "crm.item.list?entityTypeId=1036",
    }
    answer = batch(portal, commands)
    assert answer["result"]["user"][0]["ID"] == "7"
    assert ids(answer["result"]["some"]["items"]) == [2]
    assert answer["result_total"] == {"head": 1, "user": 1, "some": 1, "many": 120}
    assert answer["result_next"] == {"many": 50}


def test_batch_errors(portal: StandInPortal) -> None:
    commands = {
        "a": "crm.item.get?entityTypeId=1036&id=1",
        "b": "crm.item.get?entityTypeId=1036&id=999",
        "c": "batch?cmd[0]=scope",
        "d": "$result",
        "e": "server.time",
    }
    answer = batch(portal, commands)
    assert set(answer["result"]) == {"a", "e"}
    assert answer["result_error"]["b"] == {"error": "NOT_FOUND", "error_description": "Element not found"}
    assert answer["result_error"]["c"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert answer["result_error"]["d"]["error"] == "ERROR_METHOD_NOT_FOUND"
    halted = batch(portal, commands, halt=1)
    assert set(halted["result"]) == {"a"}
    assert set(halted["result_error"]) == {"b"}


def test_numbered_commands_come_back_as_lists_and_the_51st_is_refused(portal: StandInPortal) -> None:
    answer = batch(portal, ["scope"] * 51)
    assert len(answer["result"]) == 50
    assert answer["result_error"] == {
        "50": {"error": "ERROR_BATCH_LENGTH_EXCEEDED", "error_description": "Max batch length exceeded"}
    }
    assert batch(portal, {})["result"] == []


# --- fast_bitrix24 ---


def test_the_real_client_reads_raw_pages_and_everything(portal: StandInPortal) -> None:
    import fast_bitrix24

    async def read() -> tuple[Any, Any]:
        client = fast_bitrix24.BitrixAsync(portal.webhook, verbose=False, operating_time_limit=10**9)
        params = {"entityTypeId": 1036, "start": -1, "order": {"id": "ASC"}, "filter": {">id": 100}}
        raw = await client.call("crm.item.list", params, raw=True)
        return raw, await client.get_all("crm.item.list", {"entityTypeId": 1036, "filter": {"<=id": 110}})

    raw, everything = asyncio.run(read())
    assert ids(raw["result"]["items"]) == list(range(101, 121))
    assert sorted(ids(everything)) == list(range(1, 111))
    assert [entry.method for entry in portal.log] == ["crm.item.list", "crm.item.list", "batch"]


# --- Limits and faults ---


def test_the_bucket_over_http(start_portal: Start) -> None:
    portal = start_portal(burst=3, rate_per_second=0.001)
    codes = [post(portal, "scope").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 503, 503]
    assert error(portal, "scope") == (503, "QUERY_LIMIT_EXCEEDED", "Too many requests")


def test_the_bucket_drains_and_refusals_do_not_fill_it() -> None:
    now = [0.0]
    bucket = LeakyBucket(2, 50, lambda: now[0])
    assert sum(bucket.admit() for _ in range(80)) == 50
    now[0] = 1.0
    assert [bucket.admit() for _ in range(3)] == [True, True, False]
    now[0] = 100.0
    assert bucket.level == 0
    assert all(LeakyBucket(None, 0).admit() for _ in range(9))


def test_operating_time_adds_up_and_leaves_by_the_minute() -> None:
    meter = OperatingMeter()
    meter.charge("m", 0.09, 0)
    assert meter.reading("m", 0) == (0, 600)
    meter.charge("m", 0.5, 30)
    meter.charge("m", 0.25, 70)
    assert meter.reading("m", 90) == (0.75, 600)
    assert meter.reading("m", 600) == (0.25, 660)
    assert meter.reading("other", 90)[0] == 0
    assert meter.reading("m", 5000) == (0, 5600)


def test_a_method_that_worked_too_long_is_blocked(start_portal: Start) -> None:
    portal = start_portal(operating_limit=1.0, operating_cost=lambda method, _: 0.6 if method == "scope" else 0.0)
    assert [post(portal, "scope").status_code for _ in range(3)] == [200, 200, 429]
    assert ask(portal, "user.current")["time"]["operating"] == 0
    blocked = batch(portal, {"s": "scope"})["result_error"]["s"]
    assert blocked["error"] == "OPERATION_TIME_LIMIT"
    portal.admin.advance_clock(660)
    assert ask(portal, "scope")["time"]["operating"] == 0.6


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("http_500", 500, "INTERNAL_SERVER_ERROR"),
        ("query_limit", 503, "QUERY_LIMIT_EXCEEDED"),
        ("operation_time_limit", 429, "OPERATION_TIME_LIMIT"),
        ("error_in_200", 200, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_faults_with_an_envelope(portal: StandInPortal, kind: FaultKind, status: int, code: str) -> None:
    portal.faults.append(Fault(kind, times=2))
    assert [error(portal, "scope")[:2] for _ in range(2)] == [(status, code)] * 2
    assert ask(portal, "scope")["result"]
    assert portal.faults == []


@pytest.mark.parametrize(("kind", "status"), [("html_200", 200), ("html_502", 502), ("truncated_json", 200)])
def test_faults_without_json(portal: StandInPortal, kind: FaultKind, status: int) -> None:
    portal.faults.append(Fault(kind, method="SCOPE", at=2))
    assert post(portal, "scope").json()["result"]
    assert post(portal, "server.time").json()["result"]
    answer = post(portal, "scope")
    assert answer.status_code == status
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert portal.log[-1].status == status


def test_a_dropped_connection(portal: StandInPortal) -> None:
    portal.faults.append(Fault("drop"))
    with pytest.raises(httpx.RemoteProtocolError):
        post(portal, "scope")
    assert ask(portal, "scope")["result"]
    assert [entry.status for entry in portal.log] == [0, 200]


def test_one_command_of_a_batch_fails(portal: StandInPortal) -> None:
    portal.faults += [
        Fault("batch_command_error", command=1),
        Fault("batch_command_error", method="user.current"),
    ]
    commands = {"a": "scope", "b": "server.time", "c": "user.current"}
    assert post(portal, "scope").status_code == 200
    for failed in ("b", "c"):
        answer = batch(portal, commands)
        assert {name: part["error"] for name, part in answer["result_error"].items()} == {
            failed: "QUERY_LIMIT_EXCEEDED"
        }
        assert set(answer["result"]) == {"a", "b", "c"} - {failed}
    assert batch(portal, commands)["result_error"] == []


def test_the_log_knows_requests_but_no_secret(portal: StandInPortal) -> None:
    ask(portal, "crm.item.list", {"entityTypeId": 1036, "auth": "token"})
    entry = portal.log[0]
    assert (entry.number, entry.method, entry.params, entry.status) == (
        *(1, "crm.item.list"),
        *({"entityTypeId": 1036}, 200),
    )
    assert entry.bytes > 1000
    shown = HTTP.get(portal.admin_url + "log").text
    assert json.loads(shown)[0]["method"] == "crm.item.list"
    assert portal.webhook.split("/")[-2] not in shown


# --- Admin, clock, hooks ---


def test_the_company_changes_between_requests(portal: StandInPortal) -> None:
    def change(number: int) -> None:
        if number == 2:
            portal.admin.delete_item(1036, 2)

    portal.between_requests = change
    first = ids(items(portal, start=0)["result"]["items"])
    second = ids(items(portal, start=50)["result"]["items"])
    assert 51 not in first + second  # what offsets do when a row leaves


def test_edits(portal: StandInPortal) -> None:
    admin, rows = portal.admin, portal.state.processes[1036].items
    before = rows[5]
    assert not admin.edit_item(1036, 5, {"title": "Оценка #5"})
    assert rows[5] == before
    assert admin.edit_item(1036, 5, {"stageId": "DT1036_54:FAIL"})
    assert rows[5]["updatedTime"] > before["updatedTime"]
    assert (rows[5]["updatedBy"], rows[5]["previousStageId"]) == (1, "DT1036_54:SUCCESS")
    admin.edit_item(1036, 6, {"ufCrm7_1": 9, "updatedTime": "2026-03-02T09:00:00+03:00"})
    assert rows[6]["updatedTime"] == "2026-03-02T09:00:00+03:00"
    with pytest.raises(KeyError):
        admin.edit_item(1036, 999, {"title": "x"})


def test_deletes_restores_and_inserts(portal: StandInPortal) -> None:
    admin, process = portal.admin, portal.state.processes[1036]
    old = process.items[120]
    admin.delete_item(1036, 120)
    assert items(portal)["total"] == 119
    assert error(portal, "crm.item.get", {"entityTypeId": 1036, "id": 120})[1] == "NOT_FOUND"
    assert admin.insert_item(1036, {"ufCrm7_1": 2}, created=datetime(2026, 1, 1, tzinfo=UTC)) == 121
    assert process.items[121]["updatedTime"] == "2026-01-01T03:00:00+03:00"
    assert (process.items[121]["stageId"], process.items[121]["ufCrm7_6"]) == ("DT1036_54:NEW", [])
    admin.restore_item(1036, 120)
    assert process.items[120] == old
    assert ids(items(portal, filter={">id": 118})["result"]["items"]) == [119, 120, 121]


def test_the_admin_side_over_http(portal: StandInPortal) -> None:
    def admin(name: str, **body: Any) -> httpx.Response:
        return HTTP.post(portal.admin_url + name, json=body)

    number = admin("insert", entityTypeId=1036, fields={"title": "Новая"}).json()["result"]
    assert number == 121
    assert admin("edit", entityTypeId=1036, id=number, fields={"title": "Старая"}).json()["result"] is True
    assert admin("delete", entityTypeId=1036, id=number).status_code == 200
    assert admin("delete", entityTypeId=1036, id=number).status_code == 404
    assert admin("restore", entityTypeId=1036, id=number).status_code == 200
    for step in ("tasks/close", "tasks/reopen", "tasks/delete", "tasks/restore"):
        assert admin(step, id=2).status_code == 200
    assert admin("tasks/close", id=999_999).status_code == 404
    assert admin("clock", set="2026-07-01T00:00:00+03:00").json()["result"].startswith("2026-07-01T00:00")
    assert admin("clock", advance=3600).json()["result"].startswith("2026-07-01T01:00")
    assert admin("clock", set="soon").status_code == 400
    assert ask(portal, "server.time")["result"].startswith("2026-07-01T01:00")
    assert HTTP.get(portal.admin_url + "config").json() == {"portal": {"name": "main", "timezone": "Europe/Moscow"}}


def test_the_truth_of_a_generated_company() -> None:
    state = generate(1, "tiny", datetime(2026, 6, 1, 9, tzinfo=MOSCOW))
    with StandInPortal(state, rate_per_second=None) as portal:
        rows = HTTP.get(portal.admin_url + "truth").json()
        expected = HTTP.get(portal.admin_url + "obligations").json()
        process = next(iter(state.processes.values()))
        listed = ask(portal, "crm.item.list", {"entityTypeId": process.entity_type_id})
    assert len(rows) == sum(len(each.items) + len(each.deleted) for each in state.processes.values())
    assert listed["total"] == len(process.items)
    assert {row["status"] for row in expected} >= {"fulfilled", "missed"}


def test_dates_are_written_as_iso_texts_and_unknown_types_refused() -> None:
    encode = server._encode
    assert json.loads(encode({"day": date(2026, 1, 2), "имя": [1, None]})) == {"day": "2026-01-02", "имя": [1, None]}
    with pytest.raises(TypeError):
        encode({"x": object()})


def test_a_taken_port_is_an_error(portal: StandInPortal, make_state: Callable[..., PortalState]) -> None:
    taken = int(portal.webhook.split(":")[2].split("/")[0])
    with pytest.raises(OSError, match="in use"), StandInPortal(make_state(), port=taken):
        pass


def test_the_clock_is_never_ahead_of_the_host() -> None:
    clock = Clock(datetime.now(UTC) + timedelta(days=400), MOSCOW)
    assert clock.now() <= datetime.now(UTC)
    early = clock.set(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.advance(timedelta(hours=1)) - early >= timedelta(hours=1)
    assert clock.advance(timedelta(days=9999)) <= datetime.now(UTC)


# --- Starting and stopping ---


def test_it_starts_and_stops_fast(make_state: Callable[..., PortalState]) -> None:
    begin = time.perf_counter()
    with StandInPortal(make_state()) as portal:
        started = time.perf_counter() - begin
        with httpx.Client() as client:  # an idle kept-alive connection must not hold it up
            assert client.get(portal.webhook + "scope").status_code == 200
            begin = time.perf_counter()
            portal.__exit__(None, None, None)
    assert started < 2
    assert time.perf_counter() - begin < 2


SERVE = """
import datetime
from sources.stand_in.server import serve_forever
from sources.stand_in.state import MOSCOW, PortalState
now = datetime.datetime(2026, 6, 1, tzinfo=MOSCOW)
serve_forever(PortalState(now, MOSCOW, {}, {}, {}, {}, {}), 0, config_path="estafeta.yaml")
"""


def test_serving_until_told_to_stop() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["config"] == "estafeta.yaml"
        assert HTTP.get(line["webhook"] + "scope").status_code == 200
        assert HTTP.get(line["admin"] + "config").json() == {}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
