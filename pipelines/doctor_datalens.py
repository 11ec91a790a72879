"""The doctor's look at DataLens: users, credentials, workbooks. Changes nothing.

Belongs here: whether dashboards could be published now. Does not belong here: what publishing would change
(`estafeta dashboards plan`).
"""

from __future__ import annotations

from pipelines.findings import Findings
from pipelines.settings import Settings


def examine_datalens(settings: Settings, found: Findings) -> None:
    """Examines the section datalens; says nothing if there is none."""
    publishing = settings.datalens
    if publishing is None:
        return
    from datalens_specs.publish import contents
    from sources.datalens_users import read_datalens_users

    with found.examine("datalens: users"):
        users = read_datalens_users(publishing.users_csv)
        if users:
            found.ok(
                "datalens: users",
                f"{len(users)} people have an id in DataLens, {sum(user.sees_all for user in users)} of them see all "
                "departments; whoever is missing sees no row.",
            )
        else:
            found.fail(
                "datalens: users",
                f"{publishing.users_csv} names nobody: no dashboard can be published, since DataLens would show its "
                "rows to everybody. Write employee ids and DataLens user ids into it.",
            )
    if not publishing.has_credentials:
        found.note(
            "datalens",
            "No credentials of DataLens in the environment: runs leave it alone. Set DATALENS_KEY_FILE (and "
            "DATALENS_ORG_ID in Yandex Cloud) if they shall publish.",
        )
        return
    with found.examine("datalens"):
        client = settings.datalens_client()
        with client:
            for workbook in publishing.workbooks:
                name = "HR workbook" if workbook.for_hr else "Workbook"
                entries = contents(client, workbook.workbook_id)
                found.ok("datalens", f"{name} {workbook.workbook_id} answers, with {entries} entries.")
                if not workbook.password:
                    variable = "DATALENS_CLICKHOUSE_HR_PASSWORD" if workbook.for_hr else "DATALENS_CLICKHOUSE_PASSWORD"
                    found.note(
                        "datalens",
                        f"{variable} is not set: {name} {workbook.workbook_id} keeps the password its connection has, "
                        "and a new connection cannot be made.",
                    )
