"""A company's dashboards in a stand-in of DataLens: command line, ledger in the warehouse, the asset after a run."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.dashboards import datalens_dashboards
from datalens_specs import connect
from datalens_specs.entries import PublishError
from pipelines.cli import main
from pipelines.dashboards import migrated_tables
from pipelines.settings import Settings
from tests.dashboards.datalens import TOKEN, WORKBOOK, DataLens
from tests.e2e.conftest import Site

HR_WORKBOOK = "wb_hr"
ADDRESS = "https://datalens.example.org"


@pytest.fixture
def datalens(tiny_site: Site, monkeypatch: pytest.MonkeyPatch) -> DataLens:
    """An empty installation that the tiny company's configuration names; all heads but one are in the file of users."""
    found = DataLens(migrated_tables(), workbooks={WORKBOOK, HR_WORKBOOK})
    monkeypatch.setattr(connect, "enterprise", lambda address, secret: found.client() if secret == TOKEN else None)
    heads = tiny_site.rows("SELECT DISTINCT user_id FROM mart.user_access ORDER BY user_id")["user_id"].tolist()
    lines = ["employee_id;datalens_user_id;sees_all", *(f"{one};lens-{one};" for one in heads[:-1]), "9999;lens-hr;да"]
    (tiny_site.folder / "users.csv").write_text("\n".join(lines), encoding="utf-8")
    tiny_site.config["datalens"] = {
        "installation": "enterprise", "workbook": WORKBOOK, "hr_workbook": HR_WORKBOOK, "users": "users.csv",
        "host": "clickhouse.example.org", "username": "datalens", "hr_username": "datalens_hr",
    }  # fmt: skip
    tiny_site.file.write_text(yaml.safe_dump(tiny_site.config, allow_unicode=True), encoding="utf-8")
    for name, value in {
        **tiny_site.environment, "DATALENS_BASE_URL": ADDRESS, "DATALENS_OAUTH_TOKEN": TOKEN,
        "DATALENS_CLICKHOUSE_PASSWORD": "one", "DATALENS_CLICKHOUSE_HR_PASSWORD": "two",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return found


def estafeta(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    """The command line as a person sees it: status, stdout, stderr."""
    monkeypatch.setattr("sys.argv", ["estafeta", "dashboards", *arguments, "--config", str(site.file)])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def test_plan_and_apply_fill_both_workbooks_and_a_second_apply_changes_nothing(
    tiny_site: Site, datalens: DataLens, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said, complaint = estafeta(tiny_site, capsys, monkeypatch, "plan")
    assert (status, complaint) == (0, "")
    assert "dashboard  Взаимодействие отделов: create" in said
    assert said.count("0 changed by hand") == 2
    assert datalens.writes == []

    status, said, _ = estafeta(tiny_site, capsys, monkeypatch, "apply")
    assert status == 0
    assert f"Взаимодействие отделов: {ADDRESS}/{datalens.named('Взаимодействие отделов').entry_id}" in said
    hr = {one.name for one in datalens.entries.values() if one.workbook == HR_WORKBOOK}
    assert "Премирование: рекомендации" in hr
    assert {one.password for one in datalens.entries.values() if one.scope == "connection"} == {"one", "two"}

    writes = len(datalens.writes)
    status, said, _ = estafeta(tiny_site, capsys, monkeypatch, "apply")
    assert status == 0
    assert len(datalens.writes) == writes
    assert said.count("0 to create, 0 to update") == 2
    notes = tiny_site.rows("SELECT * FROM ops.dashboard_entry")
    assert set(notes["workbook_id"]) == {WORKBOOK, HR_WORKBOOK}
    for secret in ("one", "two", TOKEN, "lens-"):
        assert secret not in set(notes.to_numpy().ravel())

    datalens.edit_by_hand("Мои оценки")
    status, said, complaint = estafeta(tiny_site, capsys, monkeypatch, "apply")
    assert status == 1
    assert "Nothing was published. Changed or made by hand in DataLens" in complaint
    assert estafeta(tiny_site, capsys, monkeypatch, "apply", "--overwrite")[0] == 0

    assert estafeta(tiny_site, capsys, monkeypatch, "apply", "--destroy")[0] == 0
    assert datalens.entries == {}


def test_rows_in_datalens_follow_the_heads_of_the_warehouse(
    tiny_site: Site, datalens: DataLens, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert estafeta(tiny_site, capsys, monkeypatch, "apply")[0] == 0
    access = tiny_site.rows("SELECT user_id, department_id FROM mart.user_access")
    pairs = tiny_site.rows(
        "SELECT DISTINCT rater_department_id AS a, ratee_department_id AS b FROM mart.department_pair"
    )
    nobody = access["user_id"].max()
    expected = {
        (f"lens-{user}", f"{a}-{b}")
        for user, department in access.itertuples(index=False)
        for a, b in pairs.itertuples(index=False)
        if department in (a, b) and user != nobody
    } | {(f"lens-{user}", f"{one}-{one}") for user, one in access.itertuples(index=False) if user != nobody}
    stored = datalens.named("Пары отделов").content["rls2"]
    rules = [rule for one in stored.values() for rule in one]
    assert {
        (rule["subject"]["subject_id"], rule["allowed_value"]) for rule in rules if rule["pattern_type"] == "value"
    } == expected
    assert [rule["subject"]["subject_id"] for rule in rules if rule["pattern_type"] == "all"] == ["lens-hr"]


def asset(site: Site) -> dict[str, dg.MetadataValue]:
    """Materializes the dashboards alone and returns what Dagster shows of it."""
    settings = Settings.load(site.file)
    resources = {"warehouse": settings.warehouse(), "terms": settings.terms}
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [datalens_dashboards],
            resources=resources,
            instance=instance,
            tags={"dagster/asset_partition_range_start": "2026-11", "dagster/asset_partition_range_end": "2026-11"},
        )
        (event, *_) = done.asset_materializations_for_node("datalens__dashboards")
        return dict(event.metadata)


def test_a_run_publishes_and_shows_plan_links_and_pictures(
    tiny_site: Site, datalens: DataLens, caplog: pytest.LogCaptureFixture
) -> None:
    shown = asset(tiny_site)
    assert "48 to create" in str(shown["plan"].value)
    assert "16 to create" in str(shown["plan_hr"].value)
    assert shown["link: Взаимодействие отделов"].value == (
        f"{ADDRESS}/{datalens.named('Взаимодействие отделов').entry_id}"
    )
    pictures = {name: str(value.value) for name, value in shown.items() if name.startswith("chart: ")}
    assert len(pictures) == 3
    assert all(text.startswith("![") and "data:image/png;base64," in text for text in pictures.values())
    names = set(tiny_site.rows("SELECT full_name FROM dwh.dim_employee WHERE full_name != ''")["full_name"])
    assert not any(name in str(shown) for name in names)

    # Somebody moved a tile, and a head has left: the first is not lost, the second sees nothing any more.
    datalens.edit_by_hand("Взаимодействие отделов")
    users = tiny_site.folder / "users.csv"
    heading, left, *others = users.read_text(encoding="utf-8").splitlines()
    users.write_text("\n".join([heading, *others]), encoding="utf-8")
    before = len(datalens.writes)
    shown = asset(tiny_site)
    assert "changed by hand, on 2026-11-24" in str(shown["plan"].value)
    assert set(datalens.writes[before:]) == {"updateDataset"}
    assert "so datasets alone were published" in caplog.text
    assert left.split(";")[1] not in str([one.content.get("rls2") for one in datalens.entries.values()])

    datalens.edit_by_hand("Пары отделов")
    with pytest.raises(PublishError, match="the dataset 'Пары отделов'"):
        asset(tiny_site)


def test_a_run_without_credentials_leaves_datalens_alone(
    tiny_site: Site, datalens: DataLens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATALENS_OAUTH_TOKEN")
    assert asset(tiny_site)["plan"].value == "No credentials: left alone"
    assert datalens.asked == []


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("DATALENS_BASE_URL", "DATALENS_BASE_URL is the address of your DataLens"),
        ("DATALENS_OAUTH_TOKEN", "Set DATALENS_KEY_FILE"),
    ],
)
def test_missing_credentials_are_named(
    tiny_site: Site,
    datalens: DataLens,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    sentence: str,
) -> None:
    monkeypatch.delenv(missing)
    status, _, complaint = estafeta(tiny_site, capsys, monkeypatch, "plan")
    assert status == 1
    assert sentence in complaint
    assert datalens.asked == []


def test_a_file_of_users_that_lets_nobody_in_publishes_nothing(
    tiny_site: Site, datalens: DataLens, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(tiny_site.folder / "users.csv").write_text("employee_id,datalens_user_id\n", encoding="utf-8")
    status, _, complaint = estafeta(tiny_site, capsys, monkeypatch, "apply")
    assert status == 1
    assert "would show all of its rows to everybody" in complaint
    assert datalens.asked == []
