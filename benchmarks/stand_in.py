"""How fast the stand-in portal serves elements through linked batches, at the scale `load`.

    python benchmarks/stand_in.py [--elements 300000]

The portal runs in a process of its own, as it is used, with its request limit switched off. Every smart process is read
as a pipeline does: pages of 50 by rising id, 50 of them linked in one batch, ten fields. The alternative it is measured
against, in the same run, is another process that does nothing but `json.dumps` of the very same answers: what the
standard library's JSON and HTTP alone would allow.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from sources.stand_in.company import generate
from sources.stand_in.server import serve_forever

PAGE, PAGES = 50, 50
GOAL = 20_000
FIELDS = 10


def serve() -> None:
    """Serves the load until it is stopped; tells on standard error what generating it took."""
    begin, worked = time.perf_counter(), time.process_time()
    state = generate(1, "load")
    took, worked = time.perf_counter() - begin, time.process_time() - worked
    made = sum(len(process.items) for process in state.processes.values())
    print(
        f"generated {made:,} elements and {len(state.tasks):,} tasks in {took:.1f} s ({worked:.1f} s of processor)",
        file=sys.stderr,
    )
    serve_forever(state, rate_per_second=None)


@contextmanager
def portal() -> Iterator[dict[str, str]]:
    """A portal in another process, by its addresses."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def batches(kind: int, fields: list[str]) -> Callable[[int], dict[str, Any]]:
    """Makes the batch that reads on after an id."""
    select = "".join(f"&select[{place}]={name}" for place, name in enumerate(fields))
    head = f"crm.item.list?entityTypeId={kind}{select}&order[id]=ASC&start=-1&filter[{quote('>id')}]="

    def after(last: int) -> dict[str, Any]:
        commands = {"p0": f"{head}{last}"}
        for page in range(1, PAGES):
            commands[f"p{page}"] = f"{head}$result[p{page - 1}][items][{PAGE - 1}][id]"
        return {"halt": 0, "cmd": commands}

    return after


def fields_of(process: dict[str, Any]) -> list[str]:
    """Ten fields of a process: what a rating is read from, filled up with what every element has."""
    names = ["id", "createdTime", "updatedTime", "stageId", *process["fields"].values()]
    more = ["createdBy", "assignedById", "movedTime", "updatedBy", "title", "categoryId"]
    return list(dict.fromkeys([*names, *more]))[:FIELDS]


def walk(client: httpx.Client, url: str, process: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Reads a process to its end: how many elements each batch brought, and its answer."""
    after, last = batches(process["entity_type_id"], fields_of(process)), 0
    while True:
        answer = client.post(url, json=after(last)).json()
        count = 0
        for page in range(PAGES):
            rows = answer["result"]["result"][f"p{page}"]["items"]
            count += len(rows)
            if len(rows) < PAGE:
                yield count, answer
                return
            last = rows[-1]["id"]
        yield count, answer


def read(most: int) -> tuple[int, float, list[dict[str, Any]]]:
    """Elements read, seconds it took, and the answers."""
    answers: list[dict[str, Any]] = []
    count = 0
    with portal() as addresses, httpx.Client(timeout=60, trust_env=False) as client:
        processes = client.get(addresses["admin"] + "config").json()["processes"]
        begin = time.perf_counter()
        for process in processes:
            for rows, answer in walk(client, addresses["webhook"] + "batch", process):
                count += rows
                answers.append(answer)
                if count >= most:
                    return count, time.perf_counter() - begin, answers
        return count, time.perf_counter() - begin, answers


def echo(listener: socket.socket, answers: list[dict[str, Any]]) -> None:
    """Serves the answers one after another, encoded when they are asked for."""
    waiting = iter(answers)

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        body = json.dumps(next(waiting), ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off")).run([listener])


def replay(answers: list[dict[str, Any]]) -> float:
    """Seconds that a server in another process needs for the same answers when it only encodes and sends them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = multiprocessing.get_context("fork").Process(target=echo, args=(listener, answers), daemon=True)
        server.start()
        with httpx.Client(timeout=60, trust_env=False) as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            # The first answer is waited for until the server has come up.
            client.post(url, json={}).json()
            begin = time.perf_counter()
            for _ in answers[1:]:
                client.post(url, json={}).json()
            spent = time.perf_counter() - begin
        server.terminate()
        server.join()
    return spent * len(answers) / max(1, len(answers) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=300_000, help="how many elements to read at most")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve()
        return
    count, spent, answers = read(asked.elements)
    rate, bound = count / spent, count / replay(answers)
    print(f"served {count} elements with {FIELDS} fields in {len(answers)} linked batches: {rate:,.0f} elements/s")
    print(f"json.dumps of the same answers alone: {bound:,.0f} elements/s; the portal reaches {rate / bound:.2f} of it")
    print(f"goal {GOAL:,} elements/s: {'reached' if rate >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
