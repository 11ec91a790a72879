"""`estafeta audit`: what it prints, what it leaves out, how it ends."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.audit import stores
from pipelines.audit.evidence import all_looked_at
from pipelines.cli import app
from sources.stand_in.company import generate
from tests.e2e.conftest import NOW, Site

runner = CliRunner()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A company whose truth the command cannot know."""
    with ExitStack() as stack:
        site = Site(tmp_path_factory.mktemp("audited"), generate(6, "tiny", NOW), stack)
        site.run()
    return site


def test_json_is_a_list_of_verdicts_and_nothing_else(site: Site) -> None:
    done = runner.invoke(app, ["audit", "--json", "--config", str(site.file)], env=site_environment(site))
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)
    fields = {"attack", "baseline", "advantage", "bound", "pass_level", "passed"}
    assert all(result.keys() == fields and result["passed"] is True for result in results)
    assert {result["attack"].split()[0] for result in results} >= {"A1", "A9", "A11", "A12"}


def test_without_truth_it_says_what_it_left_out(site: Site) -> None:
    done = runner.invoke(app, ["audit", "--config", str(site.file)], env=site_environment(site))
    for attack in ("A2", "A5", "A8", "A14"):
        assert f"left out: {attack}:" in done.stderr
    assert "A11 privileges" in done.stdout


def test_one_attack_that_succeeds_fails_the_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "privileges", lambda: all_looked_at("A11 privileges", 1, 10))
    done = runner.invoke(app, ["audit", "--json", "--config", str(site.file)], env=site_environment(site))
    assert done.exit_code == 1
    assert [result["passed"] for result in json.loads(done.stdout) if result["attack"] == "A11 privileges"] == [False]


def site_environment(site: Site) -> dict[str, str | None]:
    return {"ESTAFETA_KEY_FILE": str(site.key)}


def test_a_demo_of_another_company_counts_as_unknown(site: Site, tmp_path: Path) -> None:
    from pipelines.audit.published import demo_company

    note = site.settings.state_path / "company.json"
    note.write_text(json.dumps({"seed": 1, "now": NOW.isoformat(), "company": "other"}))
    try:
        assert demo_company(site.settings) is None
    finally:
        note.unlink()
