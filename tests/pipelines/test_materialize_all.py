"""Materialize all, over a range of months, from Dagster's own pages: one run that publishes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipelines.definitions import build_defs
from tests.e2e.conftest import Site
from tests.e2e.test_truth import assert_equal_to_truth
from tests.pipelines.test_automation import ask, home, pages, site

__all__ = ["home", "site"]

LAUNCH = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }
"""
RUNS = "query { runsOrError { ... on Runs { results { runId status } } } }"


@pytest.mark.slow
def test_materialize_all_over_a_range_of_months_is_one_run_that_publishes(site: Site, home: Path) -> None:
    keys = sorted(build_defs().resolve_asset_graph().materializable_asset_keys)
    params = {
        "assetSelection": [{"path": list(key.path)} for key in keys],
        "partitionNames": ["2026-10", "2026-11"],
    }
    runs: list[dict[str, str]] = []
    with pages(home) as (port, _):
        deadline = time.monotonic() + 400
        launched = False
        while time.monotonic() < deadline:
            time.sleep(1)
            try:
                if not launched:
                    answer = ask(port, LAUNCH, params=params)["launchPartitionBackfill"]
                    assert answer["__typename"] == "LaunchBackfillSuccess", answer
                    launched = True
                runs = ask(port, RUNS)["runsOrError"]["results"]
            except OSError:
                continue
            if runs and all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs):
                break
    assert [run["status"] for run in runs] == ["SUCCESS"], (home.parent / "dagster.log").read_text()[-3000:]
    assert_equal_to_truth(site)
