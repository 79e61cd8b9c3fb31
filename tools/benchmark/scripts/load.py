"""Load generator: closed loop over keep-alive connections, one system after the other, round by round.

Reads its plan as JSON from the first argument and writes one line of JSON per measurement. Systems take
turns within a round, each round starting with another one, so that whatever slows the machine down for a
while slows all of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request

SEARCHED_RUNS = 50
"""Runs in the experiment that is searched, each with 5 parameters and 5 metrics."""
PAGES = {"search-runs for the best run": 1, "search-runs, a page of 20": 20}
"""Workload to the runs that one search answers with."""


class Connection:
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    async def post(self, path: str, body: bytes) -> bool:
        """Send a request and read the whole answer; whether it is a good one."""
        self.writer.write(
            b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b":", 1) for line in lines if line)
        answer = await self.reader.readexactly(int(headers[b"content-length"]))
        if b" 200 " not in status:
            print(f"{path}: {status.decode()}: {answer[:200]!r}", flush=True)
        return b" 200 " in status


def call(system: dict, path: str, body: dict) -> dict:
    """One request outside the measurement."""
    request = urllib.request.Request(
        f"http://{system['host']}:{system['port']}/api/2.0/mlflow/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Host": "localhost"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def new_run(system: dict, experiment: str) -> str:
    created = call(
        system, "runs/create", {"experiment_id": experiment, "start_time": int(time.time() * 1000)}
    )
    return created["run"]["info"]["run_id"]


def prepare(system: dict, connections: int) -> dict:
    """Runs to log to, one per connection, and runs to search."""
    name = f"load-{time.time_ns()}"
    logged = call(system, "experiments/create", {"name": f"{name}-logged"})["experiment_id"]
    searched = call(system, "experiments/create", {"name": f"{name}-searched"})["experiment_id"]
    for index in range(SEARCHED_RUNS):
        batch = {
            "run_id": new_run(system, searched),
            "params": [{"key": f"p{n}", "value": str(index * n)} for n in range(5)],
            "metrics": [{"key": f"m{n}", "value": index * n, "timestamp": 1, "step": 0} for n in range(5)],
        }
        call(system, "runs/log-batch", batch)
    return {"runs": [new_run(system, logged) for _ in range(connections)], "searched": searched}


def request(workload: str, prepared: dict, connection: int, number: int) -> tuple[str, bytes]:
    """Path and body of the next request."""
    if workload in PAGES:
        body = {
            "experiment_ids": [prepared["searched"]],
            "max_results": PAGES[workload],
            "order_by": ["metrics.m1 DESC"],
        }
        return "/api/2.0/mlflow/runs/search", json.dumps(body).encode()
    body = {
        "run_id": prepared["runs"][connection],
        "key": "loss",
        "value": 1 / (number + 1),
        "timestamp": int(time.time() * 1000),
        "step": number,
    }
    return "/api/2.0/mlflow/runs/log-metric", json.dumps(body).encode()


async def drive(plan: dict, system: dict, prepared: dict, workload: str) -> dict:
    """Warm up, then measure: requests a second and their latencies."""
    start = time.monotonic() + plan["warmup"]
    end = start + plan["seconds"]
    latencies: list[float] = []
    failed = 0

    async def one(index: int) -> None:
        nonlocal failed
        connection = Connection(system["host"], system["port"])
        await connection.open()
        number = time.time_ns() % 10**12
        while (began := time.monotonic()) < end:
            number += 1
            try:
                good = await connection.post(*request(workload, prepared, index, number))
            except (OSError, asyncio.IncompleteReadError) as error:
                print(f"{workload} on {system['name']}: {error!r}", flush=True)
                good = False
                connection.writer.close()
                await connection.open()
            done = time.monotonic()
            failed += not good
            if good and start <= began and done <= end:
                latencies.append(done - began)
        connection.writer.close()

    await asyncio.gather(*(one(index) for index in range(plan["connections"])))
    if not latencies:
        raise RuntimeError(f"{system['name']} answered no {workload} request within {plan['seconds']} s")
    latencies.sort()
    return {
        "requests": len(latencies),
        "failed": failed,
        "rate": len(latencies) / plan["seconds"],
        "p50": latencies[len(latencies) // 2],
        "p95": latencies[int(len(latencies) * 0.95)],
    }


def main() -> None:
    plan = json.loads(sys.argv[1])
    systems = plan["systems"]
    prepared = {system["name"]: prepare(system, plan["connections"]) for system in systems}
    for number in range(plan["rounds"]):
        for workload in plan["workloads"]:
            first = number % len(systems)
            for system in [*systems[first:], *systems[:first]]:
                found = asyncio.run(drive(plan, system, prepared[system["name"]], workload))
                told = {"system": system["name"], "workload": workload, "round": number, **found}
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
