"""Telling people that a run failed.

Belongs here: sending one sentence to a chat webhook and to Bitrix24 users. Does not belong here: when to tell
(`automation.py` for Dagster, `cli.py` for the command line), the sentence (whoever raised the error).

A message holds the portal's name and the error's sentence, which names no person and quotes no rating.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from http.client import HTTPException

from pipelines.settings import ConfigError, Settings
from sources.bitrix24 import PortalBusyError, PortalError, PortalUnreachableError, WebhookRefusedError
from sources.contracts import ContractBrokenError

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15

PORTAL_IS_SILENT = (PortalUnreachableError, PortalBusyError, WebhookRefusedError)
"""Trouble that every notification would meet too: the client tries for a minute, which is all a sensor is given."""


def tell_failure(settings: Settings, sentence: str, kind: str) -> None:
    """Sends the sentence wherever the configuration says; what cannot be sent is logged, never raised.

    Args:
        settings: `notify.bitrix24_users`, and ESTAFETA_NOTIFY_URL: a webhook that takes JSON with a `text`, as
            Mattermost, Rocket.Chat, Slack and most bots do.
        sentence: what happened and what to do.
        kind: class name of the exception, empty if there was none; one of `PORTAL_IS_SILENT` is told to no Bitrix24
            user.
    """
    message = f"Estafeta ({settings.file.portal.name}): {sentence}"
    try:
        url = settings.notify_url
    except ConfigError as error:
        logger.warning("notify: %s", error)
    else:
        if url:
            _post(url, message)
    if kind in {silence.__name__ for silence in PORTAL_IS_SILENT}:
        return
    for user in settings.file.notify.bitrix24_users:
        try:
            # A session each: one user who is gone keeps nobody else from hearing.
            with settings.portal() as portal:
                portal.notify(user, message)
        except (PortalError, ContractBrokenError) as error:
            logger.warning("notify: Bitrix24 took no message for user %d: %s", user, error)
            if isinstance(error, PORTAL_IS_SILENT):
                return


def _post(url: str, message: str) -> None:
    try:
        request = urllib.request.Request(  # noqa: S310 - settings accept http(s) only
            url, json.dumps({"text": message}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310 - the same
            pass
    except (OSError, ValueError, HTTPException) as error:
        # Neither the text of the error nor its cause: both show the URL, which is a secret.
        logger.warning("notify: the webhook in ESTAFETA_NOTIFY_URL took no message (%s)", type(error).__name__)
