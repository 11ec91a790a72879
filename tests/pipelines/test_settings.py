"""Configuration: one sentence per mistake, which names the place and never repeats a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from assets.rules.policy import PolicyError
from assets.rules.signals import SIGNALS
from pipelines.settings import ConfigError, Secrets, Settings
from sources.bitrix24 import WebhookRefusedError
from sources.vault import KeyFileError, VaultKey

SECRET = "k9x2secretq7"
WEBHOOK = f"https://portal.example/rest/1/{SECRET}/"
VARIABLES = (
    "ESTAFETA_CONFIG",
    "BITRIX24_WEBHOOK_URL",
    "ESTAFETA_KEY_FILE",
    "CLICKHOUSE_URL",
    "CLICKHOUSE_PASSWORD",
    "DAGSTER_HOME",
    "DATALENS_BASE_URL",
    "DATALENS_IAM_TOKEN",
    "DATALENS_KEY_FILE",
    "DATALENS_OAUTH_TOKEN",
    "DATALENS_ORG_ID",
)
CONFIG: dict[str, Any] = {
    "portal": {"name": "main", "timezone": "Europe/Moscow"},
    "processes": [
        {
            "key": "production",
            "title": "Постановка задач",
            "entity_type_id": 1036,
            "cadence": "task",
            "fields": {"score": "ufScore", "comment": "ufComment", "rater": "ufRater", "ratee": "ufRatee"},
            "score_values": {"Отлично": 5},
            "counted_stages": ["SUCCESS"],
            "comment_required_below": 4,
            "setter_departments": [7],
            "executor_departments": [14],
            "tasks": {"group_id": 11},
        }
    ],
    "policies": [{"process": "production", "rater_department": "*", "valid_from": "2025-01-01", "mode": "open"}],
    "release": {"profile": "default", "freeze_day": 8},
    "warehouse": {"path": "data/warehouse"},
    "vault": {"path": "data/vault", "retention_months": 14},
}

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "company"
    place.mkdir()
    return place


@pytest.fixture
def write(folder: Path) -> Write:
    def write(content: object = None, **parts: Any) -> Path:
        file = folder / "estafeta.yaml"
        whole = CONFIG | parts if content is None else content
        file.write_text(whole if isinstance(whole, str) else yaml.safe_dump(whole, allow_unicode=True))
        return file

    return write


def refusal(file: Path) -> str:
    """The sentence that a configuration is refused with."""
    with pytest.raises(ConfigError) as error:
        Settings.load(file)
    message = str(error.value)
    assert str(file) in message
    assert error.value.__context__ is None
    assert error.value.__cause__ is None
    return message


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The configuration with another value in one place."""
    content = deepcopy(CONFIG)
    place: Any = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return content


# --- what is read -------------------------------------------------------------------------------------------------


def test_a_configuration_becomes_terms(write: Write) -> None:
    terms = Settings.load(write()).terms
    (process,) = terms.processes
    assert (process.key, process.comment_required_below, terms.freeze_day) == ("production", 4, 8)
    assert (terms.profile_name, terms.profile.k) == ("default", 4)
    assert [entry.mode for entry in terms.policy.entries] == ["open"]
    rules = terms.by_process()["production"]
    assert (rules.is_monthly, rules.counted_stages) == (False, frozenset({"SUCCESS"}))
    assert (rules.setter_departments, rules.executor_departments) == (frozenset({7}), frozenset({14}))


def test_everything_but_the_processes_has_a_default(write: Write, folder: Path) -> None:
    settings = Settings.load(write({"processes": CONFIG["processes"]}))
    assert settings.zone.key == "Europe/Moscow"
    assert settings.terms.policy.entries == ()
    assert settings.warehouse_path == folder / ".estafeta/warehouse"
    assert settings.vault_path == folder / ".estafeta/vault"


def test_a_monthly_process_may_ask_for_a_minimum_of_tasks(write: Write) -> None:
    content = changed(("processes", 0, "tasks"), {"group_id": 11, "min_tasks": 3})
    content["processes"][0] |= {"cadence": "month"}
    content["processes"][0]["fields"]["period"] = "ufPeriod"
    (process,) = Settings.load(write(content)).terms.processes
    assert process.tasks is not None
    assert process.tasks.min_tasks == 3


def test_an_empty_list_of_stages_means_all_but_failures(write: Write) -> None:
    terms = Settings.load(write(changed(("processes", 0, "counted_stages"), []))).terms
    assert terms.by_process()["production"].counted_stages is None


@pytest.mark.parametrize(("profile", "k"), [("strict", 5), ("small_company", 3)])
def test_a_profile_is_chosen_by_name(write: Write, profile: str, k: int) -> None:
    assert Settings.load(write(release={"profile": profile})).terms.profile.k == k


DECISION_FIELDS = {"ratee": "ufA", "period": "ufB", "decision": "ufC", "reason": "ufD"}


def test_decisions_come_from_a_file_beside_the_configuration_or_from_a_smart_process(
    write: Write, folder: Path
) -> None:
    none = Settings.load(write()).terms
    assert (none.decisions_csv, none.decision_process, none.reviews_csv) == (None, None, None)
    words = {"Поддержать": "accepted"}
    file = Settings.load(write(decisions={"csv": "hr/decisions.csv", "decision_values": words})).terms
    assert (file.decisions_csv, file.decision_process) == (folder / "hr/decisions.csv", None)
    assert file.decision_values == words
    portal = Settings.load(
        write(decisions={"entity_type_id": 1080, "fields": DECISION_FIELDS, "decision_values": words})
    ).terms
    assert portal.decisions_csv is None
    assert portal.decision_process is not None
    assert portal.decision_process.entity_type_id == 1080
    assert portal.decision_process.fields.names() == DECISION_FIELDS
    assert portal.decision_process.decision_values == words


@pytest.mark.parametrize(
    ("decisions", "sentence"),
    [
        ({}, "decisions: write either csv or entity_type_id"),
        ({"csv": "a.csv", "entity_type_id": 1080, "fields": DECISION_FIELDS}, "write either csv or entity_type_id"),
        ({"csv": "a.csv", "fields": DECISION_FIELDS}, "decisions: fields belong to entity_type_id"),
        ({"entity_type_id": 1080}, "decisions: entity_type_id needs fields"),
        ({"entity_type_id": 1080, "fields": {"ratee": "ufA"}}, "decisions.fields.period is missing"),
        ({"entity_type_id": 1036, "fields": DECISION_FIELDS}, "that of a rated process"),
        ({"csvv": "a.csv"}, "unknown key decisions.csvv (did you mean csv?)"),
        ({"csv": "a.csv", "decision_values": {"Да": "yes"}}, "decisions.decision_values.Да"),
    ],
)
def test_a_source_of_decisions_that_cannot_be_is_refused(
    write: Write, decisions: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(write(decisions=decisions))


AGREEMENT_FIELDS = {"process": "ufA", "rater_department": "ufB", "ratee_department": "ufC", "text": "ufD"}


def test_agreements_come_from_a_smart_process_or_a_file(write: Write) -> None:
    terms = Settings.load(write(agreements={"entity_type_id": 1084, "fields": AGREEMENT_FIELDS})).terms
    assert terms.agreements_csv is None
    assert terms.agreement_process is not None
    assert terms.agreement_process.fields.names() == AGREEMENT_FIELDS


@pytest.mark.parametrize(
    ("agreements", "sentence"),
    [
        ({}, "agreements: this says nothing"),
        ({"csv": "a.csv", "entity_type_id": 1084, "fields": AGREEMENT_FIELDS}, "csv excludes entity_type_id"),
        ({"entity_type_id": 1084}, "entity_type_id and fields belong together"),
        ({"entity_type_id": 1036, "fields": AGREEMENT_FIELDS}, "agreements: entity_type_id is that of another process"),
        ({"link": "dashboard"}, "this is no address of a dashboard"),
    ],
)
def test_a_source_of_agreements_that_cannot_be_is_refused(
    write: Write, agreements: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(write(agreements=agreements))


DATALENS = {
    "installation": "yandex_cloud", "workbook": "wb1", "users": "users.csv", "host": "clickhouse.example.org",
    "username": "datalens",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"hr_workbook": "wb2"}, "hr_workbook and hr_username belong together"),
        ({"hr_workbook": "wb1", "hr_username": "hr"}, "hr_workbook must be another workbook"),
        ({"installation": "opensource"}, "datalens.installation"),
        ({"port": 0}, "datalens.port"),
        ({"workbok": "wb"}, "unknown key datalens.workbok (did you mean workbook?)"),
    ],
)
def test_a_datalens_that_cannot_be_is_refused(write: Write, changed: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(write(datalens=DATALENS | changed))


def test_without_hr_s_workbook_its_dashboards_are_published_nowhere(write: Write) -> None:
    publishing = Settings.load(write(datalens=DATALENS)).datalens
    assert publishing is not None
    assert [one.for_hr for one in publishing.workbooks] == [False]
    assert not publishing.has_credentials


def test_passwords_of_datalens_stay_out_of_sight(write: Write) -> None:
    secrets = Secrets(datalens_clickhouse_password=SecretStr("hush"), datalens_iam_token=SecretStr("hush"))
    publishing = Settings.load(write(datalens=DATALENS), secrets).datalens
    assert publishing is not None
    assert publishing.workbooks[0].password == "hush"
    assert "hush" not in repr(publishing) + repr(secrets)


@pytest.mark.parametrize(
    ("datalens", "secrets", "sentence"),
    [
        (None, {}, "says nothing under datalens"),
        ({}, {"datalens_iam_token": "t"}, "Set DATALENS_ORG_ID"),
        ({}, {"datalens_org_id": "o"}, "Set DATALENS_ORG_ID and either DATALENS_KEY_FILE"),
        ({}, {"datalens_org_id": "o", "datalens_key_file": "absent.json"}, "absent.json of DATALENS_KEY_FILE cannot"),
        ({"installation": "enterprise"}, {"datalens_oauth_token": "t"}, "DATALENS_BASE_URL is the address"),
        (
            {"installation": "enterprise"},
            {"datalens_oauth_token": "t", "datalens_base_url": "http://lens.example.org"},
            "it starts with https",
        ),
        ({"installation": "enterprise"}, {"datalens_base_url": "https://lens.example.org"}, "Set DATALENS_KEY_FILE"),
    ],
)
def test_credentials_of_datalens_that_are_missing_are_named(
    write: Write, datalens: dict[str, Any] | None, secrets: dict[str, Any], sentence: str
) -> None:
    config = {} if datalens is None else {"datalens": DATALENS | datalens}
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        Settings.load(write(**config), Secrets(**secrets)).datalens_client()


@pytest.mark.parametrize("content", ["no json", "[]", '{"id": "k"}'])
def test_a_key_file_that_is_none_is_named_and_not_quoted(write: Write, folder: Path, content: str) -> None:
    file = folder / "key.json"
    file.write_text(content, encoding="utf-8")
    secrets = Secrets(datalens_org_id="o", datalens_key_file=file)
    with pytest.raises(ConfigError, match="is no JSON with id, service_account_id and private_key") as caught:
        Settings.load(write(datalens=DATALENS), secrets).datalens_client()
    assert content not in str(caught.value)


@pytest.mark.parametrize(
    ("installation", "secrets"),
    [
        ("yandex_cloud", {"datalens_org_id": "o", "datalens_iam_token": "t"}),
        ("yandex_cloud", {"datalens_org_id": "o", "datalens_key_file": "key.json"}),
        ("enterprise", {"datalens_base_url": "https://lens.example.org", "datalens_oauth_token": "t"}),
        ("enterprise", {"datalens_base_url": "https://lens.example.org", "datalens_key_file": "key.json"}),
    ],
)
def test_a_client_is_made_of_a_token_or_a_key(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch, installation: str, secrets: dict[str, Any]
) -> None:
    key = '{"id": "k", "service_account_id": "s", "private_key": "p"}'
    (folder / "key.json").write_text(key, encoding="utf-8")
    monkeypatch.chdir(folder)
    settings = Settings.load(write(datalens=DATALENS | {"installation": installation}), Secrets(**secrets))
    with settings.datalens_client() as client:
        assert client is not None


def test_every_experimental_signal_can_be_asked_for_by_name(write: Write, folder: Path) -> None:
    experimental = sorted(code for code, signal in SIGNALS.items() if signal.is_experimental)
    assert Settings.load(write(signals={"experimental": experimental})).terms.experimental_signals == (*experimental,)
    terms = Settings.load(write(signals={"experimental": ["ring"], "reviews": "reviews.csv"})).terms
    assert (terms.experimental_signals, terms.reviews_csv) == (("ring",), folder / "reviews.csv")
    assert "signals.experimental.0" in refusal(write(signals={"experimental": ["rings"]}))
    assert "did you mean reviews?" in refusal(write(signals={"review": "reviews.csv"}))


# --- where it is, and where paths start ---------------------------------------------------------------------------


def test_relative_paths_start_at_the_folder_of_the_file(
    write: Write, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    monkeypatch.chdir(tmp_path)
    settings = Settings.load("company/estafeta.yaml")
    assert settings.vault_path == folder / "data/vault"
    assert settings.warehouse_path == folder / "data/warehouse"
    assert settings.state_path == folder / "data"


def test_absolute_paths_stay_where_they_are(write: Write, tmp_path: Path) -> None:
    settings = Settings.load(write(vault={"path": str(tmp_path / "elsewhere")}))
    assert settings.vault_path == tmp_path / "elsewhere"


def test_a_file_that_is_named_wins_over_the_environment_and_that_over_the_folder(
    write: Write, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named.yaml"
    named.write_text(write(release={"freeze_day": 3}).read_text())
    from_environment = tmp_path / "environment.yaml"
    from_environment.write_text(write(release={"freeze_day": 5}).read_text())
    write(release={"freeze_day": 7})
    monkeypatch.chdir(folder)
    assert Settings.load().terms.freeze_day == 7
    monkeypatch.setenv("ESTAFETA_CONFIG", str(from_environment))
    assert Settings.load().terms.freeze_day == 5
    assert Settings.load(named).terms.freeze_day == 3


def test_a_missing_file_is_named_with_what_to_do(folder: Path) -> None:
    message = refusal(folder / "nowhere.yaml")
    assert "does not exist" in message
    assert "--config" in message


def test_a_folder_instead_of_a_file_is_an_error_in_words(folder: Path) -> None:
    assert "cannot be read" in refusal(folder)


# --- mistakes in YAML ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("portal: {name: main\nprocesses: []\n", "line 2"),
        ("portal:\n  name: main\n bad: 1\n", "line 3"),
        ("portal:\n\tname: main\n", "line 2"),
        ("a: b: c\n", "line 1, column 5"),
    ],
)
def test_bad_yaml_says_at_which_line(write: Write, text: str, where: str) -> None:
    assert f"is no YAML at {where}" in refusal(write(text))


@pytest.mark.parametrize("text", [f"portal: *{SECRET}\n", f"portal: !{SECRET} x\n", f"portal: !{SECRET}!x y\n"])
def test_bad_yaml_never_repeats_a_name_that_may_be_a_secret(write: Write, text: str) -> None:
    message = refusal(write(text))
    assert "is no YAML at line 1" in message
    assert SECRET not in message


def test_a_day_that_does_not_exist_is_an_error_in_words(write: Write) -> None:
    assert "does not exist" in refusal(write("policies: [{valid_from: 2025-02-30, mode: open}]"))


def test_a_file_in_another_encoding_is_an_error_in_words(folder: Path) -> None:
    file = folder / "estafeta.yaml"
    file.write_bytes("portal: {name: Эстафета}".encode("cp1251"))
    assert "not UTF-8" in refusal(file)


def test_a_control_character_is_an_error_in_words(write: Write) -> None:
    assert "control character" in refusal(write("portal: {name: \x07}"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "text\n"])
def test_a_file_without_settings_is_refused(write: Write, text: str) -> None:
    assert "estafeta.example.yaml" in refusal(write(text))


# --- mistakes in settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("polices",), "unknown key polices (did you mean policies?)"),
        (("portal", "timezon"), "unknown key portal.timezon (did you mean timezone?)"),
        (("processes", 0, "comment_requird_below"), "did you mean comment_required_below?"),
        (("processes", 0, "fields", "raterr"), "unknown key processes.0.fields.raterr (did you mean rater?)"),
        (("processes", 0, "tasks", "zzz"), "unknown key processes.0.tasks.zzz"),
        (("policies", 0, "until"), "unknown key policies.0.until"),
        (("release", "freezeday"), "unknown key release.freezeday (did you mean freeze_day?)"),
        (("warehouse", "password"), "unknown key warehouse.password"),
        (("vault", "retention"), "unknown key vault.retention"),
    ],
)
def test_an_unknown_key_is_named_with_its_place(write: Write, path: tuple[str | int, ...], named: str) -> None:
    message = refusal(write(changed(path, SECRET)))
    assert named in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("warehouse",), {"path": "a", "url": "https://host:8443"}, "warehouse: path and url exclude each other"),
        (("portal", "timezone"), "Moscow", "portal.timezone: "),
        (("portal", "timezone"), "../../etc", "portal.timezone: "),
        (("processes",), [], "processes: "),
        (("processes", 0, "cadence"), "week", "processes.0.cadence: "),
        (("processes", 0, "cadence"), "month", "needs fields.period"),
        (("processes", 0, "key"), "Производство", "processes.0.key: "),
        (("processes", 0, "tasks"), {"group_id": 0}, "processes.0.tasks.group_id: "),
        (("processes", 0, "tasks"), {"min_tasks": 1}, "processes.0.tasks.group_id is missing"),
        (("processes", 0, "tasks"), {"group_id": 11, "min_tasks": 0}, "processes.0.tasks.min_tasks: "),
        (("processes", 0, "tasks"), {"group_id": 11, "min_tasks": 2}, "tasks.min_tasks is for cadence month"),
        (("processes", 0, "tasks"), {"group_id": 11, "min_taks": 2}, "(did you mean min_tasks?)"),
        (("processes", 0, "score_values"), {"Отлично": 6}, "processes.0.score_values.Отлично: "),
        (("processes", 0, "entity_type_id"), "x", "processes.0.entity_type_id: "),
        (("policies", 0, "mode"), "public", "policies.0.mode: "),
        (("policies", 0, "valid_from"), "soon", "policies.0.valid_from: "),
        (("policies", 0, "rater_department"), "sales", "policies.0.rater_department"),
        (("policies", 0, "process"), "sales", "policies: no process has the key sales"),
        (("release", "freeze_day"), 29, "release.freeze_day: "),
        (("release", "freeze_day"), 0, "release.freeze_day: "),
        (("release", "profile"), "loose", "release.profile: "),
        (("vault", "retention_months"), 7, "vault.retention_months: "),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_named_by_its_place(
    write: Write, path: tuple[str | int, ...], value: object, named: str
) -> None:
    assert named in refusal(write(changed(path, value)))


def test_what_is_missing_is_named(write: Write) -> None:
    content = deepcopy(CONFIG)
    del content["processes"][0]["fields"]["rater"]
    assert "processes.0.fields.rater is missing" in refusal(write(content))
    assert "processes is missing" in refusal(write({"portal": {}}))


def test_two_processes_cannot_share_key_or_entity_type(write: Write) -> None:
    process = CONFIG["processes"][0]
    assert "key production stands twice" in refusal(write(processes=[process, process | {"entity_type_id": 1038}]))
    assert "entity_type_id 1036 stands twice" in refusal(write(processes=[process, process | {"key": "other"}]))


def test_a_policy_that_contradicts_itself_is_refused_with_both_lines(write: Write) -> None:
    lines = [
        {"process": "production", "valid_from": "2025-01-01", "mode": "open"},
        {"rater_department": 7, "valid_from": "2025-01-01", "mode": "aggregate"},
    ]
    with pytest.raises(PolicyError) as error:
        Settings.load(write(policies=lines))
    assert "process: production" in str(error.value)
    assert "rater_department: 7" in str(error.value)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all values of the configuration, sections included."""
    steps: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


@pytest.mark.parametrize("path", list(places(CONFIG)), ids=lambda path: ".".join(map(str, path)))
def test_a_secret_in_the_wrong_place_is_never_repeated(write: Write, path: tuple[str | int, ...]) -> None:
    content = changed(path, WEBHOOK)
    try:
        settings = Settings.load(write(content))
    except ConfigError as error:
        # A policy's process is the one value that is named: without it the line could not be found.
        assert SECRET not in str(error) or path[-1] == "process"  # noqa: PT017 - most places accept a text
    else:
        assert SECRET not in repr(settings)


# --- the environment ----------------------------------------------------------------------------------------------


def test_no_repr_shows_what_the_environment_holds(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITRIX24_WEBHOOK_URL", WEBHOOK)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", SECRET)
    settings = Settings.load(write())
    shown = [repr(settings), repr(settings.portal()), repr(settings.terms), repr(vars(settings))]
    assert [text for text in shown if SECRET in text] == []


def test_a_portal_needs_a_webhook(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "  "):
        if value is not None:
            monkeypatch.setenv("BITRIX24_WEBHOOK_URL", value)
        with pytest.raises(WebhookRefusedError, match="BITRIX24_WEBHOOK_URL is not set"):
            Settings.load(write()).portal()


@pytest.mark.parametrize("value", [None, ""])
def test_a_vault_needs_a_key_file(write: Write, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("ESTAFETA_KEY_FILE", value)
    with pytest.raises(KeyFileError, match="ESTAFETA_KEY_FILE is not set"):
        Settings.load(write()).vault()


def test_the_vault_opens_with_the_key_file_the_environment_names(
    write: Write, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    VaultKey.create(tmp_path / "key")
    monkeypatch.setenv("ESTAFETA_KEY_FILE", str(tmp_path / "key"))
    settings = Settings.load(write())
    assert settings.key_file == tmp_path / "key"
    assert settings.vault().periods("raw") == []
    assert (folder / "data/vault").is_dir()


def test_a_server_in_the_file_or_the_environment_replaces_the_folder(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load(write(warehouse={"url": "https://user@host:8443"})).warehouse_path is None
    monkeypatch.setenv("CLICKHOUSE_URL", "")
    assert Settings.load(write()).warehouse_path == folder / "data/warehouse"
    monkeypatch.setenv("CLICKHOUSE_URL", "https://user@host:8443")
    assert Settings.load(write()).warehouse_path is None


def test_storage_of_runs_is_where_the_environment_says(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.load(write()).dagster_home is None
    monkeypatch.setenv("DAGSTER_HOME", "")
    assert Settings.load(write()).dagster_home is None
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert Settings.load(write()).dagster_home == tmp_path


def test_other_variables_are_none_of_our_business(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESTAFETA_SOMETHING", "x")
    Settings.load(write())
