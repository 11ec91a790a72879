"""Clients of the DataLens API.

Belongs here: credentials as the SDK takes them. Does not belong here: where they come from (`pipelines/settings.py`),
what is done with a client (`publish.py`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from datalens_sdk import (
    BaseAuthProvider,
    DataLensClientEnterprise,
    DataLensClientYC,
    EnterpriseServiceAccountCredentialsAuthProvider,
    OAuthAuthProvider,
    StaticYCIAMAuthProvider,
    YCServiceAccountCredentialsAuthProvider,
)

if TYPE_CHECKING:
    import httpx

# The SDK logs what it sent to where and what came back, before it raises.
logging.getLogger("datalens_sdk").setLevel(logging.CRITICAL)


class KeyFileError(Exception):
    """The key of a service account cannot be read; the message names the file and quotes nothing."""


@dataclass(frozen=True)
class Key:
    """The authorized key of a service account, from which tokens are made as they are needed."""

    key_id: str
    service_account_id: str
    private_key: str = field(repr=False)


def service_account_key(path: Path) -> Key:
    """Reads a key file as `yc iam key create` writes it.

    Raises:
        KeyFileError: it is missing, or no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Key(str(content["id"]), str(content["service_account_id"]), str(content["private_key"]))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError):
        problem = "is no JSON with id, service_account_id and private_key"
    raise KeyFileError(f"The key file {path} of DATALENS_KEY_FILE {problem}: make a new key of the service account.")


def yandex_cloud(organization: str, secret: Key | str) -> DataLensClientYC:
    """A client for DataLens of Yandex Cloud, with a service account's key or an IAM token."""
    auth: BaseAuthProvider
    if isinstance(secret, Key):
        auth = YCServiceAccountCredentialsAuthProvider(
            org_id=organization,
            key_id=secret.key_id,
            service_account_id=secret.service_account_id,
            private_key=secret.private_key,
        )
    else:
        auth = StaticYCIAMAuthProvider(org_id=organization, token=secret)
    return DataLensClientYC(auth=auth)


def enterprise(
    address: str, secret: Key | str, transport: httpx.BaseTransport | None = None
) -> DataLensClientEnterprise:
    """A client for a DataLens Enterprise, with a service account's key or an OAuth token; tests give the transport."""
    auth: BaseAuthProvider
    if isinstance(secret, Key):
        auth = EnterpriseServiceAccountCredentialsAuthProvider(
            key_id=secret.key_id,
            service_account_id=secret.service_account_id,
            private_key=secret.private_key,
            base_url=address,
        )
    else:
        auth = OAuthAuthProvider(token=secret)
    return DataLensClientEnterprise(base_url=address, auth=auth, transport=transport)
