"""A small hand-made company for the stand-in portal's own tests."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, PortalState, Record, SmartProcess

START = datetime(2026, 3, 2, 9, 0, tzinfo=MOSCOW)

FIELDS: dict[str, Record] = {
    "id": {"type": "integer", "isReadOnly": True, "upperName": "ID"},
    "title": {"type": "string", "upperName": "TITLE"},
    "createdTime": {"type": "datetime", "upperName": "CREATED_TIME"},
    "updatedTime": {"type": "datetime", "upperName": "UPDATED_TIME"},
    "opened": {"type": "boolean", "upperName": "OPENED"},
    "ufCrm7_1": {"type": "integer", "upperName": "UF_CRM_7_1"},
    "ufCrm7_2": {"type": "string", "upperName": "UF_CRM_7_2"},
    "ufCrm7_3": {"type": "employee", "upperName": "UF_CRM_7_3"},
    "ufCrm7_4": {"type": "boolean", "upperName": "UF_CRM_7_4"},
    "ufCrm7_5": {"type": "date", "upperName": "UF_CRM_7_5"},
    "ufCrm7_6": {"type": "integer", "isMultiple": True, "upperName": "UF_CRM_7_6"},
}


def item(number: int) -> Record:
    moment = (START + timedelta(minutes=number)).isoformat()
    return {
        "id": number,
        "title": f"Оценка #{number}",
        "createdBy": 1,
        "updatedBy": 0,
        "createdTime": moment,
        "updatedTime": moment,
        "movedTime": moment,
        "categoryId": 54,
        "stageId": "DT1036_54:SUCCESS",
        "previousStageId": "",
        "opened": "Y",
        "assignedById": 2 + number % 3,
        "entityTypeId": 1036,
        "ufCrm7_1": 1 + number % 5,
        "ufCrm7_2": "" if number % 4 else "Нет исходников",
        "ufCrm7_3": number % 7,
        "ufCrm7_4": "Y" if number % 2 else "N",
        "ufCrm7_5": "2026-03-01T03:00:00+03:00" if number % 2 else None,
        "ufCrm7_6": [number, number + 1] if number % 3 else [],
    }


def task(number: int) -> Record:
    moment = (START + timedelta(hours=number)).isoformat()
    return {
        "id": str(number),
        "title": f"Задача {number}",
        "status": str(2 + number % 4),
        "createdBy": str(2 + number % 2),
        "responsibleId": "4",
        "groupId": str(11 + number % 2),
        "createdDate": moment,
        "changedDate": moment,
        "closedDate": None,
        "ufCrmTask": [f"T40c_{number}"],
    }


def user(number: int) -> Record:
    return {
        "ID": str(number),
        "ACTIVE": number % 10 != 0,
        "NAME": "Анна",
        "LAST_NAME": f"Ким {number}",
        "EMAIL": f"{number}@example.test",
        "UF_DEPARTMENT": [1 + number % 3],
        "USER_TYPE": "employee",
    }


def status(number: int, code: str, semantics: str | None) -> Record:
    return {
        "ID": str(number),
        "ENTITY_ID": "DYNAMIC_1036_STAGE_54",
        "STATUS_ID": f"DT1036_54:{code}",
        "NAME": code,
        "SORT": str(number * 10),
        "CATEGORY_ID": "54",
        "SEMANTICS": semantics,
    }


def build_state(items: int = 120) -> PortalState:
    process = SmartProcess(
        entity_type_id=1036,
        type_id=7,
        title="Постановка задач производству",
        fields=FIELDS,
        categories=[{"id": 54, "name": "Общая", "sort": 100, "entityTypeId": 1036, "isDefault": "Y"}],
        statuses=[status(1, "NEW", None), status(2, "SUCCESS", "S"), status(3, "FAIL", "F")],
        items={number: item(number) for number in range(1, items + 1)},
    )
    return PortalState(
        now=datetime(2026, 6, 1, 12, 0, tzinfo=UTC),
        timezone=MOSCOW,
        users={number: user(number) for number in range(1, 61)},
        departments={
            1: {"ID": "1", "NAME": "Компания", "SORT": 100},
            2: {"ID": "2", "NAME": "Продажи", "SORT": 300, "PARENT": "1", "UF_HEAD": "7"},
            3: {"ID": "3", "NAME": "Производство", "SORT": 200, "PARENT": "1"},
        },
        tasks={number: task(number) for number in range(1, 71)},
        processes={1036: process},
        config={"portal": {"name": "main", "timezone": "Europe/Moscow"}},
    )


@pytest.fixture
def make_state() -> Callable[..., PortalState]:
    return build_state


@pytest.fixture
def portal() -> Iterator[StandInPortal]:
    """A portal without a request limit."""
    with StandInPortal(build_state(), rate_per_second=None) as running:
        yield running


@pytest.fixture
def start_portal() -> Iterator[Callable[..., StandInPortal]]:
    """Starts portals with options; all stop after the test."""
    running: list[StandInPortal] = []

    def start(items: int = 120, **options: Any) -> StandInPortal:
        stand_in = StandInPortal(build_state(items), **options)
        running.append(stand_in.__enter__())
        return stand_in

    yield start
    for stand_in in running:
        stand_in.__exit__(None, None, None)
