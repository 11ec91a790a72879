"""The same code on the embedded engine and over HTTP, and a reader that is answered while a run works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import clickhouse_connect
import pandas as pd
import pytest

from tests.e2e.conftest import Site
from warehouse_sql.serve import ServerThread, create_app


def test_a_run_over_http_publishes_what_a_run_on_the_embedded_engine_does(tiny_site: Site, tmp_path: Path) -> None:
    with ExitStack() as stack:
        over_http = tmp_path / "over_http"
        over_http.mkdir()
        server = stack.enter_context(ServerThread(create_app(tmp_path / "served", read_only=False)))
        site = Site(over_http, tiny_site.state, stack, warehouse={"url": server.url})
        site.run()
        served = site.tables()
        assert not site.run().changed
    embedded = tiny_site.tables()
    assert served.keys() == embedded.keys()
    assert len(served["dwh.fct_rating"]) > 50
    for name, frame in served.items():
        pd.testing.assert_frame_equal(frame, embedded[name], obj=name)


def test_readers_are_answered_while_a_second_run_works(tiny_site: Site) -> None:
    expected = int(tiny_site.rows("SELECT count() AS n FROM dwh.fct_rating")["n"][0])
    environment = os.environ | tiny_site.environment
    serve = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "warehouse",
        "serve",
        "--port",
        "0",
        "--config",
        str(tiny_site.file),
    ]
    run = [sys.executable, "-m", "pipelines.cli", "run", "--config", str(tiny_site.file)]
    with subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
            client = clickhouse_connect.get_client(host="127.0.0.1", port=port)
            with subprocess.Popen(run, env=environment, stderr=subprocess.PIPE, text=True) as running:
                answers = 0
                while running.poll() is None:
                    found = client.query("SELECT count() FROM dwh.fct_rating").result_rows[0][0]
                    assert found == expected
                    answers += 1
                    time.sleep(0.3)
                assert running.stderr is not None
                assert running.returncode == 0, running.stderr.read()
            assert answers > 5
            with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="READONLY"):
                client.command("TRUNCATE TABLE dwh.fct_rating")
        finally:
            server.terminate()
