"""A failed run is told to people: the portal's name and the sentence, and nothing else."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines import notify
from pipelines.cli import main
from pipelines.lock import run_lock
from pipelines.notify import tell_failure
from pipelines.settings import Settings
from sources.bitrix24 import Bitrix24, PortalBusyError, PortalError, PortalUnreachableError, WebhookRefusedError
from sources.stand_in.company import generate
from tests.e2e.conftest import NOW, Site

SECRET = "hook-4f1c9ab27"


class Chat:
    """A chat's webhook on a loopback port."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.url = ""
        self.silent = threading.Event()
        """While it is set, nobody is answered."""

    @contextmanager
    def open(self) -> Iterator[Chat]:
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                chat.taken.append({"path": self.path, "type": self.headers["Content-Type"], "body": json.loads(body)})
                while chat.silent.is_set():
                    chat.silent.wait(0.05)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        self.url = f"http://127.0.0.1:{server.server_address[1]}/{SECRET}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.silent.clear()
            server.shutdown()
            thread.join(10)
            server.server_close()


@pytest.fixture
def chat() -> Iterator[Chat]:
    with Chat().open() as opened:
        yield opened


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A site whose every run fails: the configuration names a field that the portal does not have."""
    with ExitStack() as stack:

        def make(**config: Any) -> Site:
            state = generate(6, "tiny", NOW)
            state.config["portal"]["name"] = "northern"
            state.config["processes"][0]["fields"]["comment"] += "7"
            return Site(tmp_path, state, stack, **config)

        yield make


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `estafeta run` in this process; its exit status and stderr, log lines among it."""

    def call(site: Site, url: str = "") -> tuple[int, str]:
        for name, value in (site.environment | {"ESTAFETA_NOTIFY_URL": url}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DAGSTER_HOME", raising=False)
        monkeypatch.setattr(sys, "argv", ["estafeta", "run", "--config", str(site.file)])
        with pytest.raises(SystemExit) as leave:
            main()
        return int(leave.value.code or 0), capsys.readouterr().err

    return call


def sentence_of(stderr: str) -> str:
    return stderr.strip().splitlines()[-1].removeprefix("estafeta: ")


def test_a_failed_run_tells_chat_and_users_the_sentence_and_nothing_else(
    failing: Callable[..., Site], chat: Chat, run: Run
) -> None:
    site = failing(notify={"bitrix24_users": [3, 5]})
    site.portal.scopes.add("im")
    status, stderr = run(site, chat.url)
    assert status == 1
    sentence = sentence_of(stderr)
    assert "did you mean" in sentence
    (post,) = chat.taken
    assert post["path"] == f"/{SECRET}"
    assert post["type"] == "application/json"
    assert post["body"] == {"text": f"Estafeta (northern): {sentence}"}
    told = [(str(note["USER_ID"]), note["MESSAGE"]) for note in site.portal.notifications]
    assert told == [("3", post["body"]["text"]), ("5", post["body"]["text"])]

    text = post["body"]["text"]
    private = {site.portal.webhook.split("/")[-2], SECRET}
    private |= {str(user["LAST_NAME"]) for user in site.state.users.values() if user.get("LAST_NAME")}
    comment = site.state.config["processes"][0]["fields"]["comment"].removesuffix("7")
    items = site.state.processes[site.state.config["processes"][0]["entity_type_id"]].items.values()
    private |= {str(item[comment]) for item in items if len(str(item[comment] or "")) > 5}
    assert len(private) > 20
    for word in private:
        assert word not in text
    assert SECRET not in stderr


def test_one_user_who_cannot_be_told_keeps_nobody_else_from_hearing(
    failing: Callable[..., Site], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = failing(notify={"bitrix24_users": [3, 5]})
    site.portal.scopes.add("im")
    tell = Settings.portal
    calls = []

    def refuse_first(settings: Settings) -> Bitrix24:
        calls.append(settings)
        # The first is the run's own, the second that of the first user.
        if len(calls) == 2:
            raise PortalError("The portal did not take a notification.")
        return tell(settings)

    monkeypatch.setattr(Settings, "portal", refuse_first)
    status, stderr = run(site)
    assert status == 1
    assert "did you mean" in sentence_of(stderr)
    assert [str(note["USER_ID"]) for note in site.portal.notifications] == ["5"]


SILENT = [PortalUnreachableError, PortalBusyError, WebhookRefusedError]


@pytest.mark.parametrize("kind", SILENT)
def test_trouble_with_the_portal_is_told_to_the_chat_and_not_tried_through_the_portal(
    failing: Callable[..., Site], chat: Chat, monkeypatch: pytest.MonkeyPatch, kind: type[PortalError]
) -> None:
    monkeypatch.setenv("ESTAFETA_NOTIFY_URL", chat.url)
    site = failing(notify={"bitrix24_users": [3, 5]})
    monkeypatch.setenv("BITRIX24_WEBHOOK_URL", site.portal.webhook)
    site.portal.scopes.add("im")
    tell_failure(Settings.load(site.file), "The portal did not do it.", kind.__name__)
    assert [post["body"]["text"] for post in chat.taken] == ["Estafeta (northern): The portal did not do it."]
    assert not site.portal.log
    tell_failure(Settings.load(site.file), "A check failed.", "AuditFailedError")
    assert len(site.portal.notifications) == 2


def test_the_run_hands_on_what_kind_of_trouble_it_was(
    failing: Callable[..., Site], chat: Chat, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(_: Settings) -> Bitrix24:
        asked.append(1)
        raise WebhookRefusedError("The portal refuses the webhook.")

    site = failing(notify={"bitrix24_users": [3, 5]})
    monkeypatch.setattr(Settings, "portal", refuse)
    status, stderr = run(site, chat.url)
    assert status == 1
    assert sentence_of(stderr) == "The portal refuses the webhook."
    assert len(chat.taken) == 1
    assert len(asked) == 1, "the run's own, and none to tell anybody"


@pytest.mark.parametrize("kind", SILENT)
def test_the_first_user_who_cannot_be_told_because_the_portal_is_silent_is_the_last_one_tried(
    failing: Callable[..., Site], monkeypatch: pytest.MonkeyPatch, kind: type[PortalError]
) -> None:
    tried = []

    def silence(_: Settings) -> Bitrix24:
        tried.append(1)
        raise kind("The portal does not answer.")

    site = failing(notify={"bitrix24_users": [3, 5, 7]})
    monkeypatch.setattr(Settings, "portal", silence)
    tell_failure(site.settings, "A check failed.", "AuditFailedError")
    assert len(tried) == 1


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/{SECRET}"


@pytest.mark.parametrize(
    "url",
    ["closed", "silent", f"ftp://chat.example/{SECRET}", f"https://[chat.example/{SECRET}", f"http://a b/{SECRET}"],
    ids=["closed", "silent", "no web address", "broken address", "blank in address"],
)
def test_a_chat_that_cannot_be_told_hides_neither_the_sentence_nor_shows_its_address(
    failing: Callable[..., Site],
    chat: Chat,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str,
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 0.3)
    chat.silent.set()
    status, stderr = run(failing(), {"closed": closed_port(), "silent": chat.url}.get(url, url))
    assert status == 1
    assert "did you mean" in sentence_of(stderr)
    said = stderr + caplog.text
    assert "ESTAFETA_NOTIFY_URL" in said
    assert SECRET not in said
    assert "Traceback" not in said


def test_a_run_that_only_found_another_one_at_work_is_not_told(
    failing: Callable[..., Site], chat: Chat, run: Run
) -> None:
    site = failing(notify={"bitrix24_users": [3]})
    site.portal.scopes.add("im")
    with run_lock(site.settings.state_path):
        status, stderr = run(site, chat.url)
    assert status == 1
    assert "Another run of this portal is at work" in stderr
    assert not chat.taken
    assert not site.portal.notifications
