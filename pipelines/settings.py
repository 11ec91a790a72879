"""Configuration: estafeta.yaml and the environment. The only reader of either.

Belongs here: the shape of the file, secrets, paths, one sentence per mistake. Does not belong here: what a setting
does (`assets`, `sources`, `warehouse_sql`).
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from assets.rules.disclosure import PROFILES, ProfileName
from assets.rules.policy import PolicyBook, PolicyEntry, PolicyError
from assets.terms import Publishing, Terms, Workbook
from datalens_specs.workbook import Place
from sources.bitrix24 import Bitrix24, WebhookRefusedError
from sources.contracts import (
    AgreementFields,
    AgreementProcess,
    DecisionFields,
    DecisionProcess,
    Frozen,
    Outcome,
    Process,
    TaskGroup,
)
from sources.vault import Vault, VaultKey
from warehouse_sql.warehouse import Warehouse

if TYPE_CHECKING:
    from datalens_specs.publish import Client

DEFAULT_FILE = Path("estafeta.yaml")

_QUOTED = re.compile(r"""(?<= )(["'])[^<"'].+?\1""")
"""A name that YAML quotes in its complaint may be a secret that starts with * or !; tokens like '<scalar>' are none."""


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, key and mend."""


class PortalSettings(Frozen):
    """Which portal: a name for people, and the time zone its months are counted in."""

    name: str = "main"
    timezone: str = "Europe/Moscow"

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            pass
        else:
            return value
        raise ValueError("this is no time zone; write it as Europe/Moscow")


class ReleaseSettings(Frozen):
    """When months are closed and how strictly hidden ratings are published."""

    profile: ProfileName = "default"
    freeze_day: Annotated[int, Field(ge=1, le=28)] = 8


class RulesSettings(Frozen):
    """What follows from the comment rules."""

    count_unexplained: bool = False


class WarehouseSettings(Frozen):
    """An embedded folder or a server, never both."""

    path: Path | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _one(self) -> WarehouseSettings:
        if self.path is not None and self.url is not None:
            raise ValueError("path and url exclude each other: keep one")
        return self


class VaultSettings(Frozen):
    """Where identities are kept, encrypted, and for how long."""

    path: Path = Path(".estafeta/vault")
    retention_months: Annotated[int, Field(ge=8)] = 14


class NotifySettings(Frozen):
    """Who hears of failed runs; a chat webhook stands in ESTAFETA_NOTIFY_URL, being a secret."""

    bitrix24_users: tuple[Annotated[int, Field(ge=1)], ...] = ()


class DecisionSettings(Frozen):
    """Where people decide on recommendations: a CSV file or a smart process, never both."""

    csv: Path | None = None
    entity_type_id: Annotated[int | None, Field(ge=1)] = None
    fields: DecisionFields | None = None
    decision_values: dict[str, Outcome] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one(self) -> DecisionSettings:
        if (self.csv is None) == (self.entity_type_id is None):
            raise ValueError("write either csv or entity_type_id with fields")
        if self.csv is not None and self.fields is not None:
            raise ValueError("fields belong to entity_type_id: a csv has headings of its own")
        if self.csv is None and self.fields is None:
            raise ValueError("entity_type_id needs fields: ratee, period, decision and reason")
        return self


class SignalSettings(Frozen):
    """Which signals are looked for, and which were looked at."""

    experimental: tuple[Literal["ring", "retaliation", "severity_shift"], ...] = ()
    reviews: Path | None = None


class AgreementSettings(Frozen):
    """Where heads keep what they agreed, and the dashboard they are told of when a month is closed."""

    csv: Path | None = None
    entity_type_id: Annotated[int | None, Field(ge=1)] = None
    fields: AgreementFields | None = None
    link: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> AgreementSettings:
        if self.csv is not None and (self.entity_type_id is not None or self.fields is not None):
            raise ValueError("csv excludes entity_type_id and fields: agreements are kept in one place")
        if (self.entity_type_id is None) != (self.fields is None):
            raise ValueError("entity_type_id and fields belong together")
        if self.csv is None and self.entity_type_id is None and self.link is None:
            raise ValueError("this says nothing: name a csv, or entity_type_id with fields, or a link")
        return self

    @field_validator("link")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://\S+", value):
            raise ValueError("this is no address of a dashboard; it starts with https://")
        return value


class DatalensSettings(Frozen):
    """The DataLens that shows the dashboards, and how it reaches the warehouse."""

    installation: Literal["yandex_cloud", "enterprise"]
    workbook: Annotated[str, Field(min_length=1)]
    hr_workbook: Annotated[str | None, Field(min_length=1)] = None
    users: Path
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 8443
    secure: bool = True
    username: Annotated[str, Field(min_length=1)]
    hr_username: Annotated[str | None, Field(min_length=1)] = None

    @model_validator(mode="after")
    def _hr_is_apart(self) -> DatalensSettings:
        if (self.hr_workbook is None) != (self.hr_username is None):
            raise ValueError(
                "hr_workbook and hr_username belong together: HR's tables have a ClickHouse user of their own"
            )
        if self.hr_workbook == self.workbook:
            raise ValueError("hr_workbook must be another workbook: who may open one sees all of it")
        return self


class Secrets(BaseSettings):
    """What comes from the environment alone."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    bitrix24_webhook_url: SecretStr | None = None
    estafeta_key_file: Path | None = None
    # Its user part may hold a password.
    clickhouse_url: Annotated[str | None, Field(repr=False)] = None
    dagster_home: Path | None = None
    estafeta_notify_url: SecretStr | None = None
    clickhouse_password: SecretStr | None = None
    datalens_org_id: str | None = None
    datalens_iam_token: SecretStr | None = None
    datalens_base_url: str | None = None
    datalens_oauth_token: SecretStr | None = None
    datalens_key_file: Path | None = None
    datalens_clickhouse_password: SecretStr | None = None
    datalens_clickhouse_hr_password: SecretStr | None = None


class ConfigFile(Frozen):
    """The whole of estafeta.yaml."""

    portal: PortalSettings = PortalSettings()
    processes: Annotated[tuple[Process, ...], Field(min_length=1)]
    policies: tuple[PolicyEntry, ...] = ()
    release: ReleaseSettings = ReleaseSettings()
    rules: RulesSettings = RulesSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    vault: VaultSettings = VaultSettings()
    notify: NotifySettings = NotifySettings()
    decisions: DecisionSettings | None = None
    signals: SignalSettings = SignalSettings()
    agreements: AgreementSettings | None = None
    datalens: DatalensSettings | None = None

    @model_validator(mode="after")
    def _keys_are_unique(self) -> ConfigFile:
        keys = [process.key for process in self.processes]
        types = [str(process.entity_type_id) for process in self.processes]
        for name, values in (("key", keys), ("entity_type_id", types)):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise ValueError(f"processes: {name} {', '.join(sorted(twice))} stands twice")
        if self.decisions and self.decisions.entity_type_id:
            if str(self.decisions.entity_type_id) in types:
                raise ValueError(
                    "decisions: entity_type_id is that of a rated process; decisions have one of their own"
                )
            types.append(str(self.decisions.entity_type_id))
        if self.agreements and str(self.agreements.entity_type_id) in types:
            raise ValueError("agreements: entity_type_id is that of another process; agreements have one of their own")
        unknown = {entry.process for entry in self.policies} - {"*", *keys}
        if unknown:
            raise ValueError(f"policies: no process has the key {', '.join(sorted(unknown))}")
        return self


class _OneKeyOnce(yaml.SafeLoader):
    """YAML keeps the last of two equal keys: a second `policies:` would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class Settings:
    """A configuration file with its secrets, and the objects made of them.

    Args:
        file: parsed estafeta.yaml.
        folder: what relative paths start at.
        secrets: from the environment.
    """

    def __init__(self, file: ConfigFile, folder: Path, secrets: Secrets) -> None:
        self.file = file
        self._folder = folder
        self._secrets = secrets
        self.policy = PolicyBook.build(file.policies)

    @classmethod
    def load(cls, path: Path | str | None = None, secrets: Secrets | None = None) -> Settings:
        """Reads the configuration.

        Args:
            path: the file; else ESTAFETA_CONFIG; else ./estafeta.yaml.
            secrets: instead of those of the environment.

        Raises:
            ConfigError: the file is missing, no YAML, or says something it cannot.
            PolicyError: its policy contradicts itself.
        """
        chosen = Path(path or os.environ.get("ESTAFETA_CONFIG") or DEFAULT_FILE)
        try:
            content = yaml.load(chosen.read_text(encoding="utf-8"), Loader=_OneKeyOnce)  # noqa: S506 - a safe loader
        except FileNotFoundError:
            problem = "does not exist; copy estafeta.example.yaml and fill it in, or name another file with --config"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        except UnicodeDecodeError:
            problem = "is no YAML: not UTF-8"
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = f"is no YAML{where}: {_QUOTED.sub('…', getattr(error, 'problem', None) or 'a control character')}"
        except ValueError:
            problem = "is no YAML: it holds a date or time that does not exist"
        else:
            return cls(_validate(content, chosen), chosen.resolve().parent, secrets or Secrets())
        raise ConfigError(f"The configuration {chosen} {problem}.")

    @property
    def zone(self) -> ZoneInfo:
        """The portal's time zone."""
        return ZoneInfo(self.file.portal.timezone)

    @property
    def vault_path(self) -> Path:
        """Where the vault lies."""
        return self._folder / self.file.vault.path

    @property
    def state_path(self) -> Path:
        """Where Estafeta keeps what is neither vault nor warehouse: Dagster's storage, locks."""
        return self.vault_path.parent

    @property
    def key_file(self) -> Path | None:
        """The key file the environment names."""
        return self._secrets.estafeta_key_file

    @property
    def dagster_home(self) -> Path | None:
        """Dagster's storage, if the environment names one."""
        return self._secrets.dagster_home

    @property
    def notify_url(self) -> str:
        """Chat webhook that hears of failed runs; empty if there is none.

        Raises:
            ConfigError: it is no http(s) URL.
        """
        secret = self._secrets.estafeta_notify_url
        url = secret.get_secret_value().strip() if secret else ""
        if url and not url.startswith(("https://", "http://")):
            raise ConfigError("ESTAFETA_NOTIFY_URL is no URL: it starts with https://.")
        return url

    @property
    def terms(self) -> Terms:
        """What assets need to know of the configuration."""
        release, decisions, signals = self.file.release, self.file.decisions, self.file.signals
        agreements = self.file.agreements
        return Terms(
            processes=self.file.processes,
            policy=self.policy,
            profile_name=release.profile,
            profile=PROFILES[release.profile],
            freeze_day=release.freeze_day,
            retention_months=self.file.vault.retention_months,
            count_unexplained=self.file.rules.count_unexplained,
            decisions_csv=self._folder / decisions.csv if decisions and decisions.csv else None,
            decision_process=self.decision_process,
            decision_values=decisions.decision_values if decisions else {},
            experimental_signals=signals.experimental,
            reviews_csv=self._folder / signals.reviews if signals.reviews else None,
            agreements_csv=self._folder / agreements.csv if agreements and agreements.csv else None,
            agreement_process=self.agreement_process,
            agenda_link=(agreements.link if agreements else None) or "",
            datalens=self.datalens,
        )

    @property
    def datalens(self) -> Publishing | None:
        """Where dashboards are published, if anywhere."""
        found = self.file.datalens
        if found is None:
            return None
        # On a server people read views, and DataLens with them (docs/access.md); an embedded warehouse has none.
        suffix = "" if self.warehouse_path is not None else "_read"
        databases = {name: f"{name}{suffix}" for name in ("mart", "hr")}

        def book(workbook: str, username: str, password: SecretStr | None, *, for_hr: bool) -> Workbook:
            place = Place(found.host, found.port, username, found.secure, databases)
            return Workbook(workbook, place, password.get_secret_value() if password else "", for_hr=for_hr)

        books = [book(found.workbook, found.username, self._secrets.datalens_clickhouse_password, for_hr=False)]
        if found.hr_workbook and found.hr_username:
            password = self._secrets.datalens_clickhouse_hr_password
            books.append(book(found.hr_workbook, found.hr_username, password, for_hr=True))
        secrets = self._secrets
        return Publishing(
            workbooks=tuple(books),
            users_csv=self._folder / found.users,
            client=self.datalens_client,
            has_credentials=bool(
                secrets.datalens_iam_token or secrets.datalens_oauth_token or secrets.datalens_key_file
            ),
            site="https://datalens.ru" if found.installation == "yandex_cloud" else secrets.datalens_base_url or "",
        )

    def datalens_client(self) -> Client:
        """The client of the DataLens that the configuration names; nothing is asked yet.

        Raises:
            ConfigError: `datalens` is not configured, or its credentials are not set.
        """
        # Costs a third of a second, which only what publishes should pay.
        from datalens_specs import connect

        found, secrets = self.file.datalens, self._secrets
        if found is None:
            raise ConfigError("The configuration says nothing under datalens: see estafeta.example.yaml.")
        try:
            key = connect.service_account_key(secrets.datalens_key_file) if secrets.datalens_key_file else None
        except connect.KeyFileError as error:
            raise ConfigError(str(error)) from None
        if found.installation == "yandex_cloud":
            token = secrets.datalens_iam_token
            if not secrets.datalens_org_id or not (key or token):
                raise ConfigError(
                    "Set DATALENS_ORG_ID and either DATALENS_KEY_FILE, the authorized key of a service account, or "
                    "DATALENS_IAM_TOKEN, which lasts for some hours."
                )
            return connect.yandex_cloud(secrets.datalens_org_id, key or (token.get_secret_value() if token else ""))
        token = secrets.datalens_oauth_token
        address = secrets.datalens_base_url or ""
        if not re.fullmatch(r"https://\S+|http://(127\.0\.0\.1|localhost)(:\d+)?/?", address):
            raise ConfigError("DATALENS_BASE_URL is the address of your DataLens; it starts with https://.")
        if not (key or token):
            raise ConfigError(
                "Set DATALENS_KEY_FILE, the key of a service account of your DataLens, or DATALENS_OAUTH_TOKEN."
            )
        return connect.enterprise(address, key or (token.get_secret_value() if token else ""))

    @property
    def decision_process(self) -> DecisionProcess | None:
        """The smart process in which decisions are taken, if there is one."""
        decisions = self.file.decisions
        if decisions is None or decisions.entity_type_id is None or decisions.fields is None:
            return None
        return DecisionProcess(
            entity_type_id=decisions.entity_type_id,
            fields=decisions.fields,
            decision_values=decisions.decision_values,
        )

    @property
    def agreement_process(self) -> AgreementProcess | None:
        """The smart process in which heads keep what they agreed, if there is one."""
        agreements = self.file.agreements
        if agreements is None or agreements.entity_type_id is None or agreements.fields is None:
            return None
        return AgreementProcess(entity_type_id=agreements.entity_type_id, fields=agreements.fields)

    def portal(self) -> Bitrix24:
        """The portal client, not yet opened.

        Raises:
            WebhookRefusedError: BITRIX24_WEBHOOK_URL is not set.
        """
        webhook = self._secrets.bitrix24_webhook_url
        if webhook is None or not webhook.get_secret_value().strip():
            raise WebhookRefusedError(
                "BITRIX24_WEBHOOK_URL is not set: put the URL of an inbound webhook of your portal into it."
            )
        return Bitrix24(webhook.get_secret_value(), zone=self.zone)

    def vault(self) -> Vault:
        """The vault, opened with the key file."""
        return Vault(self.vault_path, VaultKey.load(self.key_file))

    @property
    def warehouse_path(self) -> Path | None:
        """Folder of the embedded warehouse; None with a server."""
        if self._secrets.clickhouse_url or self.file.warehouse.url:
            return None
        return self._folder / (self.file.warehouse.path or Path(".estafeta/warehouse"))

    def warehouse(self) -> Warehouse:
        """The warehouse; CLICKHOUSE_URL overrides the file."""
        path = self.warehouse_path
        if path is not None:
            return Warehouse(path=path)
        password = self._secrets.clickhouse_password
        return Warehouse(
            url=self._secrets.clickhouse_url or self.file.warehouse.url,
            password=password.get_secret_value() if password else "",
        )


def _validate(content: object, path: Path) -> ConfigFile:
    if not isinstance(content, dict):
        raise ConfigError(f"The configuration {path} is empty; copy estafeta.example.yaml and fill it in.")
    problem = ""
    try:
        return ConfigFile.model_validate(content)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        # A misspelt key is unknown and makes the right one missing: the misspelling is what helps.
        unknown = [entry for entry in errors if entry["type"] == "extra_forbidden"]
        problem = _sentence((unknown or errors)[0])
    except PolicyError as error:
        problem = str(error)
    raise ConfigError(f"The configuration {path} cannot be used: {problem}.")


def _sentence(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """One mistake in words; the offending value stays out, it may be a secret in the wrong place."""
    where = ".".join(str(part) for part in error["loc"] if part not in {"function-after", "constrained-str"})
    match error["type"]:
        case "extra_forbidden":
            name = str(error["loc"][-1])
            near = difflib.get_close_matches(name, _known_keys(), n=1)
            return f"unknown key {where}" + (f" (did you mean {near[0]}?)" if near else "")
        case "missing":
            return f"{where} is missing"
        case "value_error":
            message = str(error["msg"]).removeprefix("Value error, ")
            return f"{where}: {message}" if where else message
        case _:
            return f"{where}: {error['msg']}"


def _known_keys() -> list[str]:
    models = (
        ConfigFile,
        PortalSettings,
        Process,
        PolicyEntry,
        ReleaseSettings,
        WarehouseSettings,
        VaultSettings,
        NotifySettings,
        DecisionSettings,
        SignalSettings,
        AgreementSettings,
        AgreementFields,
        DatalensSettings,
        DecisionFields,
        Process.model_fields["fields"].annotation,
        TaskGroup,
    )
    return [name for model in models if model is not None for name in getattr(model, "model_fields", {})]
