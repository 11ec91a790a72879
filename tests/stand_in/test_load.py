"""The company at the scale `load`: fifty times the demo, and otherwise the same."""

from datetime import datetime

import pytest

from sources.stand_in import company
from sources.stand_in.state import MOSCOW, PortalState
from sources.stand_in.truth import rating_truth

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=MOSCOW)


def ratings(state: PortalState) -> int:
    return sum(len(process.items) for process in state.processes.values())


@pytest.mark.slow
def test_the_load_has_more_people_and_more_work_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = company.generate(1, "demo", NOW)
    monkeypatch.setattr(company, "LOAD_PEOPLE", 2)
    monkeypatch.setattr(company, "LOAD_VOLUME", 2)
    load = company.generate(1, "load", NOW)
    assert len(load.users) - 7 == 2 * (len(demo.users) - 7), "administrator, guest and the dismissed are as many"
    assert ratings(load) > 3 * ratings(demo)
    assert load.config == demo.config
    assert {code for row in rating_truth(load) for code in [row.exclusion_code]} <= {
        row.exclusion_code for row in rating_truth(demo)
    }


@pytest.mark.slow
def test_the_load_is_fifty_demos() -> None:
    assert 45 <= ratings(company.generate(1, "load", NOW)) / ratings(company.generate(1, "demo", NOW)) <= 55
