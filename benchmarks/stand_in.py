"""How fast the stand-in portal serves elements through linked batches, at the scale `load`.

    python benchmarks/stand_in.py [--elements 300000]

Reads every smart process as a pipeline does: pages of 50 by rising id, 50 of them linked in one batch, ten fields.
The alternative it is measured against, in the same run and over the same connection, is a server that does nothing but
`json.dumps` of the very same answers: what the standard library's JSON and HTTP alone would allow.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn
from starlette.types import Receive, Scope, Send

from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import SmartProcess

PAGE, PAGES = 50, 50
GOAL = 20_000
FIELDS = 10


def batches(process: SmartProcess) -> Callable[[int], dict[str, Any]]:
    """Makes the batch that reads on after an id."""
    fields = ["id", "createdTime", "updatedTime", "stageId", "createdBy", "assignedById"]
    fields += [name for name in process.fields if name.startswith("uf")]
    fields = [*fields, "movedTime", "updatedBy", "title", "categoryId"][:FIELDS]
    select = "".join(f"&select[{place}]={name}" for place, name in enumerate(fields))
    head = f"crm.item.list?entityTypeId={process.entity_type_id}{select}&order[id]=ASC&start=-1&filter[{quote('>id')}]="

    def after(last: int) -> dict[str, Any]:
        commands = {"p0": f"{head}{last}"}
        for page in range(1, PAGES):
            commands[f"p{page}"] = f"{head}$result[p{page - 1}][items][{PAGE - 1}][id]"
        return {"halt": 0, "cmd": commands}

    return after


def walk(client: httpx.Client, url: str, process: SmartProcess) -> Iterator[tuple[int, dict[str, Any]]]:
    """Reads a process to its end: how many elements each batch brought, and its answer."""
    after, last = batches(process), 0
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


def replay(answers: list[dict[str, Any]]) -> float:
    """Seconds that a server needs for the same answers when it only encodes and sends them."""
    waiting = iter(answers)

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        body = json.dumps(next(waiting), ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with httpx.Client(timeout=60, trust_env=False) as client:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        begin = time.perf_counter()
        for _ in answers:
            client.post(url, json={}).json()
        spent = time.perf_counter() - begin
    server.should_exit = True
    thread.join(5)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=300_000, help="how many elements to read at most")
    asked = parser.parse_args()
    begin, worked = time.perf_counter(), time.process_time()
    state = generate(1, "load")
    took, worked = time.perf_counter() - begin, time.process_time() - worked
    made = sum(len(process.items) for process in state.processes.values())
    print(f"generated {made:,} elements and {len(state.tasks):,} tasks in {took:.1f} s ({worked:.1f} s of processor)")
    answers: list[dict[str, Any]] = []
    count, spent = 0, 0.0
    with (
        StandInPortal(state, rate_per_second=None) as portal,
        httpx.Client(timeout=60, trust_env=False) as client,
    ):
        for process in state.processes.values():
            begin = time.perf_counter()
            for rows, answer in walk(client, portal.webhook + "batch", process):
                count += rows
                answers.append(answer)
                if count >= asked.elements:
                    break
            spent += time.perf_counter() - begin
            if count >= asked.elements:
                break
    alone = replay(answers)
    rate, bound = count / spent, count / alone
    print(f"served {count} elements with {FIELDS} fields in {len(answers)} linked batches: {rate:,.0f} elements/s")
    print(f"json.dumps of the same answers alone: {bound:,.0f} elements/s; the portal reaches {rate / bound:.2f} of it")
    print(f"goal {GOAL:,} elements/s: {'reached' if rate >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
