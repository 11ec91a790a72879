"""The code location: everything Dagster sees, in one place.

Belongs here: the explicit lists of assets, checks, jobs, schedules and sensors. Does not belong here: any of their
code. Loading reads no configuration, no environment and opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from assets import (
    agenda,
    agreements,
    crm,
    dashboards,
    decisions,
    hidden,
    marts,
    obligations,
    publish,
    ratings,
    release,
    scores,
    star,
)
from assets.checks import CHECKS
from pipelines.automation import changed_months, daily, failure_sensor, ratings_job, sweep_job
from pipelines.resources import resources


def build_defs(*, config_file: str = "", resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """Assembles the code location; tests and the command line override resources instead of patching.

    Args:
        config_file: estafeta.yaml; empty for ESTAFETA_CONFIG or ./estafeta.yaml, read when a run starts.
        resource_overrides: resources to use instead, by key: portal, vault, warehouse, terms, settings.
    """
    return dg.Definitions(
        assets=[
            crm.portal_people,
            crm.portal_ratings,
            crm.people,
            crm.raw,
            ratings.checked,
            obligations.obligation,
            release.released,
            scores.scored,
            decisions.decision,
            agreements.agreement,
            hidden.hidden,
            star.inputs,
            *star.STAR,
            marts.marts,
            publish.load_run,
            dashboards.datalens_dashboards,
            agenda.notified,
            publish.retention,
        ],
        asset_checks=CHECKS,
        jobs=[ratings_job, sweep_job],
        schedules=[daily],
        sensors=[changed_months, failure_sensor],
        resources={**resources(config_file), **(resource_overrides or {})},
        # chDB lets one process open a folder: steps in processes of their own would shut each other out.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev` and the daemon load."""
    return build_defs()
