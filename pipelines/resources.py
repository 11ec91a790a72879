"""Dagster resources: thin wrappers that hand plain objects to assets.

Belongs here: opening what the configuration describes, for the length of a run. Does not belong here: the objects
themselves, reading files or the environment (`settings.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from assets.terms import Terms
from pipelines.lock import run_lock
from pipelines.settings import Settings
from sources.bitrix24 import Bitrix24
from sources.vault import Vault
from warehouse_sql.warehouse import Warehouse

LOCK_WAIT_SECONDS = 300.0
"""A run of Dagster outwaits the sensor's look at the portal; shorter than `automation.LONGEST_START`."""


class Configured(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A resource made of the configuration file, which is read when a run starts, never on load."""

    config_file: str = Field(default="", description="estafeta.yaml; empty: ESTAFETA_CONFIG, else ./estafeta.yaml")

    def settings(self) -> Settings:
        """Reads the configuration."""
        return Settings.load(self.config_file or None)


class PortalResource(Configured):
    """The Bitrix24 portal, one client for the whole run."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Bitrix24]:  # noqa: ARG002
        """Opens the client and closes it when the run ends; holds the run lock meanwhile."""
        settings = self.settings()
        with run_lock(settings.state_path, LOCK_WAIT_SECONDS), settings.portal() as portal:
            yield portal


class VaultResource(Configured):
    """The vault, opened with the key file."""

    def create_resource(self, context: dg.InitResourceContext) -> Vault:  # noqa: ARG002
        """Opens the vault."""
        return self.settings().vault()


class WarehouseResource(Configured):
    """The warehouse; steps open and close it themselves."""

    def create_resource(self, context: dg.InitResourceContext) -> Warehouse:  # noqa: ARG002
        """Makes the warehouse object; nothing is opened yet."""
        return self.settings().warehouse()


class TermsResource(Configured):
    """Processes, policy and release rules."""

    def create_resource(self, context: dg.InitResourceContext) -> Terms:  # noqa: ARG002
        """Reads the terms."""
        return self.settings().terms


class SettingsResource(Configured):
    """The configuration itself, for sensors, which open what they need."""

    def create_resource(self, context: dg.InitResourceContext) -> Settings:  # noqa: ARG002
        """Reads the configuration."""
        return self.settings()


def resources(config_file: str = "") -> dict[str, Configured]:
    """All resources over one configuration file."""
    return {
        "portal": PortalResource(config_file=config_file),
        "vault": VaultResource(config_file=config_file),
        "warehouse": WarehouseResource(config_file=config_file),
        "terms": TermsResource(config_file=config_file),
        "settings": SettingsResource(config_file=config_file),
    }
