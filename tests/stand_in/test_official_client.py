"""The official Python SDK against the stand-in portal: what it reads there is what the portal holds.

b24pysdk builds `https://` URLs and has no way to say otherwise, nor to hand it a session. The one thing replaced here
is therefore the function that it posts with: the same request goes to the same address over plain http. Addresses,
parameters, batches, paging, retries and errors are its own.
"""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from b24pysdk.api.callers.call_batch import call_batch
from b24pysdk.api.callers.call_list import call_list
from b24pysdk.api.callers.call_list_fast import call_list_fast
from b24pysdk.api.callers.call_method import call_method
from b24pysdk.api.requesters import bitrix_api_requester
from b24pysdk.errors import BitrixAPIError, BitrixAPINotFound

from sources.stand_in.limits import Fault
from sources.stand_in.server import StandInPortal

ELEMENTS = 2630


@pytest.fixture
def portal(start_portal: Callable[..., StandInPortal]) -> StandInPortal:
    return start_portal(ELEMENTS, rate_per_second=None)


@pytest.fixture
def asked(portal: StandInPortal, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Whom the SDK asks, and how."""
    session = requests.Session()
    session.trust_env = False

    def post(url: str, **options: Any) -> requests.Response:
        assert url.startswith("https://127.0.0.1:")
        return session.post("http" + url.removeprefix("https"), **options)

    monkeypatch.setattr(bitrix_api_requester.requests, "post", post)
    _, rest, user, secret = portal.webhook.removeprefix("http:/").strip("/").split("/")
    assert rest == "rest"
    domain = portal.webhook.split("/")[2]
    return {"domain": domain, "auth_token": f"{user}/{secret}", "is_webhook": True}


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for row in rows]


def test_one_method(asked: dict[str, Any], portal: StandInPortal) -> None:
    answer = call_method(**asked, api_method="crm.item.get", params={"entityTypeId": 1036, "id": 7})
    assert answer["result"]["item"] == portal.state.processes[1036].items[7]
    assert answer["time"]["date_start"].endswith("+03:00")


def test_a_counted_list(asked: dict[str, Any]) -> None:
    found = call_list(**asked, api_method="crm.item.list", params={"entityTypeId": 1036, "select": ["id"]})
    assert sorted(ids(found["result"])) == list(range(1, ELEMENTS + 1))


def test_a_fast_list_over_several_linked_batches(asked: dict[str, Any], portal: StandInPortal) -> None:
    params = {"entityTypeId": 1036, "select": ["id"]}
    found = call_list_fast(**asked, api_method="crm.item.list", params=params)
    assert ids(list(found["result"])) == list(range(1, ELEMENTS + 1))
    assert [entry.method for entry in portal.log] == ["crm.item.list", "batch", "batch"]


def test_a_fast_list_of_people_and_tasks(asked: dict[str, Any], portal: StandInPortal) -> None:
    people = list(call_list_fast(**asked, api_method="user.get")["result"])
    assert [int(row["ID"]) for row in people] == sorted(portal.state.users)
    tasks = list(call_list_fast(**asked, api_method="tasks.task.list")["result"])
    assert [int(row["id"]) for row in tasks] == sorted(portal.state.tasks)


def test_a_batch_with_one_command_that_fails(asked: dict[str, Any]) -> None:
    commands = {
        "here": ("crm.item.get", {"entityTypeId": 1036, "id": 1}),
        "gone": ("crm.item.get", {"entityTypeId": 1036, "id": 99999}),
        "all": ("crm.item.list", {"entityTypeId": 1036, "filter": {">=ufCrm7_1": 5}}),
    }
    answer = call_batch(**asked, methods=commands)["result"]
    assert answer["result"]["here"]["item"]["id"] == 1
    assert answer["result_error"]["gone"]["error"] == "NOT_FOUND"
    assert answer["result_total"]["all"] == ELEMENTS // 5


def test_what_is_written_can_be_read(asked: dict[str, Any]) -> None:
    fields = {"title": "Новая", "ufCrm7_1": 4}
    added = call_method(**asked, api_method="crm.item.add", params={"entityTypeId": 1036, "fields": fields})
    number = added["result"]["item"]["id"]
    change = {"entityTypeId": 1036, "id": number, "fields": {"ufCrm7_1": 2}}
    assert call_method(**asked, api_method="crm.item.update", params=change)["result"]["item"]["ufCrm7_1"] == 2
    call_method(**asked, api_method="crm.item.delete", params={"entityTypeId": 1036, "id": number})
    with pytest.raises(BitrixAPIError, match="not found"):
        call_method(**asked, api_method="crm.item.get", params={"entityTypeId": 1036, "id": number})


def test_errors_are_the_ones_the_sdk_knows(asked: dict[str, Any], portal: StandInPortal) -> None:
    with pytest.raises(BitrixAPINotFound):
        call_method(**asked, api_method="crm.item.get", params={"entityTypeId": 1036, "id": 99999})
    for kind, code in (
        ("expired_token", "expired_token"),
        ("operation_time_limit", "operation_time_limit"),
        ("overload_limit", "overload_limit"),
        ("access_denied", "access_denied"),
    ):
        portal.faults.append(Fault(kind))  # type: ignore[arg-type]
        with pytest.raises(BitrixAPIError) as raised:
            call_method(**asked, api_method="server.time", max_retries=1)
        assert raised.value.error.lower() == code
