"""A portal that is as if just started before each test, and ways to fill it, to twist its answers, to read it."""

import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from sources.bitrix24 import Bitrix24
from sources.contracts import Process
from sources.stand_in import server
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, PortalState, Record

ZONE = ZoneInfo("Europe/Moscow")
FEBRUARY, MARCH = date(2026, 2, 1), date(2026, 3, 1)
Twist = Callable[[Callable[[str, Record, Any], Any]], None]


_COMPANY = pickle.dumps(generate(3, "tiny", datetime(2026, 3, 20, 12, tzinfo=MOSCOW)))


def company() -> PortalState:
    """A tiny company of one's own; a copy, for making one up takes ten times as long."""
    state: PortalState = pickle.loads(_COMPANY)
    return state


PROCESSES = [Process.model_validate(entry) for entry in company().config["processes"]]
TASKLY, BACK, MONTHLY = PROCESSES
_TEMPLATES = {kind: next(iter(process.items.values())) for kind, process in company().processes.items()}


@pytest.fixture(scope="module", autouse=True)
def _hasty_library() -> Iterator[None]:
    """fast-bitrix24 does not wait between its own repeats: a mistake in a test shows at once."""

    async def nothing(seconds: float) -> None:
        """The portal's thread sleeps on."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fast_bitrix24.srh.sleep", nothing)
        yield


@pytest.fixture(scope="module")
def shared() -> Iterator[StandInPortal]:
    """One portal for all tests and all examples of a property: starting and stopping one costs more than a reading."""
    with StandInPortal(company(), rate_per_second=None) as running:
        yield running


@pytest.fixture
def portal(shared: StandInPortal) -> Iterator[StandInPortal]:
    """The portal as if it had just been started."""
    fresh = company()
    for each in dataclasses.fields(fresh):
        setattr(shared.state, each.name, getattr(fresh, each.name))
    shared.clock.set(fresh.now)
    shared.hidden_items.clear()
    shared.log.clear()
    shared.portal._number = 0
    yield shared
    shared.between_requests = None


@pytest.fixture
def twist(monkeypatch: pytest.MonkeyPatch, portal: StandInPortal) -> Twist:
    """Changes the portal's answers: a function of method, parameters and body returns the new body."""

    def install(change: Callable[[str, Record, Any], Any]) -> None:
        handle = portal.portal.handle

        def twisted(call: Any) -> Any:
            reply = handle(call)
            assert reply is not None
            body = change(portal.log[-1].method, portal.log[-1].params, json.loads(reply.body))
            return server._Reply(reply.status, json.dumps(body).encode())

        monkeypatch.setattr(portal.portal, "handle", twisted)

    return install


def connect(portal: StandInPortal, zone: ZoneInfo = ZONE) -> Bitrix24:
    return Bitrix24(portal.webhook, zone=zone, backoff_seconds=0.001)


def fill(state: PortalState, process: Process, rows: list[Record]) -> dict[int, Record]:
    """Replaces the elements of a process by rows, each given by what sets it apart."""
    items = state.processes[process.entity_type_id].items
    template = _TEMPLATES[process.entity_type_id]
    items.clear()
    for number, row in enumerate(rows, start=1):
        items[row.get("id", number)] = {**template, "id": number, **row}
    return items


def many(process: Process, count: int) -> list[Record]:
    """Rows of two months in which every row has its own text; ids have gaps."""
    start = datetime(2026, 2, 1, tzinfo=MOSCOW)
    rows = []
    for number in range(count):
        created = start + timedelta(minutes=15 * number % 60_000)
        rows.append(
            {
                "id": 3 * number + 7,
                "createdTime": created.isoformat(),
                process.fields.comment: f"Текст {number}",
                process.fields.rater: 2 + number % 5,
            }
            | ({process.fields.period: f"{created.date()}T03:00:00+03:00"} if process.fields.period else {})
        )
    return rows


def read(portal: StandInPortal, process: Process, first: date, last: date, zone: ZoneInfo = ZONE) -> pa.Table:
    with connect(portal, zone) as client:
        return client.ratings(process, client.describe([process])[process.key], first, last)


def seen(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in ("rating_id", "comment", "rater_id")), strict=True))


def held(process: Process, items: dict[int, Record]) -> list[tuple[Any, ...]]:
    fields = process.fields
    return [(key, row[fields.comment] or "", row[fields.rater] or 0) for key, row in sorted(items.items())]


def ids(table: pa.Table) -> list[int]:
    return list(table.column("rating_id").to_pylist())
