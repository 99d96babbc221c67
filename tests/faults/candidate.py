"""One candidate in a process of its own: it reports what it believes, and does what it is told.

`python -m tests.faults.candidate LIBRARY HOSTS RESOURCE NAME SESSION_TIMEOUT`

Commands come in as lines of JSON, `{"id": 1, "command": "join"}`: `join`, `resign`, `step_down`, and `block` (the event
loop, for `seconds`). The end of the input ends the process. Reports go out as lines of JSON:

- `status`: each status of the candidate, and the end of its statuses;
- `belief`: a run of samples of belief, see `record.Belief`; again every 50 ms while it goes on, and when it ends;
- `stall`: this process took no sample for longer than `LONGEST_STEP`;
- `done`: a command has been carried out, with the error that it ended with, if that is none of an election's.

Belief is sampled every 2 ms in a thread of its own: so it is read while the event loop is blocked too, and it is the
first thing that is read when the process is thawed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from typing import Any

from golea_async import ElectionError, Status

from .clock import now
from .contenders import Contender, Library, Tenure, make_contender
from .record import LONGEST_STEP, Interval

SAMPLE_INTERVAL = 0.002
REPORT_INTERVAL = 0.05

_writing = threading.Lock()


def report(kind: str, **fields: Any) -> None:
    line = json.dumps({"report": kind, **fields}) + "\n"
    with _writing:
        sys.stdout.write(line)
        sys.stdout.flush()


class Sampler:
    """Reads belief over and over, and reports runs of it."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._run = 0
        self._leads = False
        self._tenure = Tenure(None, 0.0)
        self._first: Interval = (0.0, 0.0)
        self._last: Interval = (0.0, 0.0)
        self._looked = now()
        self._reported = 0.0

    def run(self) -> None:
        while True:
            self._sample()
            time.sleep(SAMPLE_INTERVAL)

    def _sample(self) -> None:
        before = now()
        believes = self._contender.believes()
        after = now()
        tenure = self._contender.tenure() if believes else Tenure(None, 0.0)
        looked, self._looked = self._looked, after
        has_stalled = before - looked > LONGEST_STEP
        if has_stalled:
            report("stall", start=looked, end=before)
        if self._leads and (not believes or has_stalled or tenure.token != self._tenure.token):
            self._report(ended=None if believes else before)
            self._leads = False
        if not believes:
            return
        if not self._leads:
            self._leads = True
            self._run += 1
            self._first = (before, after)
            self._reported = 0.0
        self._last, self._tenure = (before, after), tenure
        if after - self._reported > REPORT_INTERVAL:
            self._report(ended=None)

    def _report(self, *, ended: float | None) -> None:
        self._reported = self._looked
        report(
            "belief",
            number=self._run,
            token=self._tenure.token,
            remaining=self._tenure.remaining,
            first=self._first,
            last=self._last,
            ended=ended,
        )


def report_status(status: Status | None) -> None:
    if status is None:
        report("end", at=now())
        return
    report(
        "status",
        at=now(),
        role=str(status.role),
        candidate_id=status.candidate_id,
        following=status.now_following,
        token=status.fencing_token,
        error=type(status.error).__name__ if status.error else None,
    )


async def carry_out(contender: Contender, order: dict[str, Any]) -> None:
    error = None
    try:
        match order["command"]:
            case "join":
                await contender.join()
            case "resign":
                await contender.resign()
            case "step_down":
                await contender.step_down()
            case "block":
                time.sleep(order["seconds"])  # noqa: ASYNC251 - this is the fault
    except ElectionError:
        pass  # an answer, which its statuses tell as well
    except Exception as failure:  # noqa: BLE001 - the checker judges it
        error = f"{type(failure).__name__}: {failure}"
    report("done", id=order["id"], error=error)


def read_orders(loop: asyncio.AbstractEventLoop, orders: asyncio.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(orders.put_nowait, json.loads(line))
    os._exit(0)  # Whoever started this is gone: like a crash, without a word to ZooKeeper.


async def main(library: str, hosts: str, resource: str, name: str, session_timeout: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s {name} %(name)s %(message)s")
    contender = make_contender(Library(library), hosts, resource, name, float(session_timeout), report_status)
    orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    threading.Thread(target=read_orders, args=(asyncio.get_running_loop(), orders), daemon=True).start()
    threading.Thread(target=Sampler(contender).run, daemon=True).start()
    await contender.open()
    report("done", id=0, error=None)
    tasks: set[asyncio.Task[None]] = set()
    while True:
        task = asyncio.create_task(carry_out(contender, await orders.get()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
