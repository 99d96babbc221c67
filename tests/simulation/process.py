"""A simulated process: an event loop of its own, on a machine with its own clock, that can be frozen and killed.

The loop is asyncio's in all that code running on it can see: tasks, timers, transports. It does not run by itself:
what happens to the process (a timer, a frame from the network) makes its callbacks ready, and it runs until none is.
So between two events of the world nothing of a process is half done, other than what waits in an ``await``.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVarTuple, Unpack

from .world import Clock, World

CLOCK_RESOLUTION = 1e-6
"""A timer strikes when its time is over by the clock, in spite of rounding; who waits for the rest gets there."""


_Ts = TypeVarTuple("_Ts")


class Process:
    """One process, from its start until it is killed.

    :ivar faults: what its event loop was told of: callbacks that raised, exceptions that nobody has seen.
    """

    running: Process | None = None
    """Whose code runs at this moment, and whose clock counts."""

    def __init__(self, world: World, clock: Clock, generator: random.Random, name: str) -> None:
        self.world = world
        self.clock = clock
        self.name = name
        # asyncio's interface has forty more methods (sockets, signals, subprocesses), for which nobody asks here.
        self.loop = ProcessLoop(self)  # type: ignore[abstract]
        self.is_dead = False
        self.is_frozen = False
        self.faults: list[str] = []
        self.on_step: Callable[[Process], None] = lambda _: None
        self._generator = generator
        self._ready: deque[asyncio.Handle] = deque()
        self._due: deque[asyncio.Handle] = deque()  # timers that struck while it was frozen
        self._interruptions: list[tuple[int, Callable[[], object]]] = []

    def make_ready(self, handle: asyncio.Handle) -> None:
        """To be run at the process's next step."""
        self._ready.append(handle)

    def timer_strikes(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        (self._due if self.is_frozen else self._ready).append(handle)
        self.step()

    def io(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Something has come in from the network."""
        self._ready.append(asyncio.Handle(callback, arguments, self.loop))
        self.step()

    def step(self) -> None:
        """Run until nothing is ready."""
        if self.is_dead or self.is_frozen or Process.running is self:
            return
        before, Process.running = Process.running, self
        asyncio._set_running_loop(self.loop)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
                self._interrupt()
        finally:
            Process.running = before
            asyncio._set_running_loop(None if before is None else before.loop)
        self.on_step(self)

    def enter(self, function: Callable[[], Any]) -> Any:
        """Call from outside, as code of this process: it reads this clock, also while the process is frozen."""
        before, Process.running = Process.running, self
        try:
            return function()
        finally:
            Process.running = before

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        asyncio._set_running_loop(self.loop)
        try:
            task = self.loop.create_task(work, name=name)
        finally:
            asyncio._set_running_loop(None)
        self.step()
        return task

    def after_turns(self, turns: int, callback: Callable[[], object]) -> None:
        """Call in between, when so many more callbacks have run: this is how a cancellation gets to any ``await``."""
        self._interruptions.append((turns, callback))

    def forget_interruptions(self) -> None:
        """Have none of them any more."""
        self._interruptions.clear()

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        """It goes on: what came in meanwhile and the timers that struck are all there at once, in either order."""
        self.is_frozen = False
        if self._generator.random() < 0.5:
            self._due.extend(self._ready)
            self._ready, self._due = self._due, self._ready
        else:
            self._ready.extend(self._due)
        self._due.clear()
        self.step()

    def kill(self) -> None:
        self.is_dead = True

    def dispose(self) -> None:
        """End the tasks of a process that is no more, so that Python has nothing to say of them."""
        self.is_dead = False
        self.is_frozen = False
        self.on_step = lambda _: None
        for _ in range(100):
            tasks = list(self.loop.tasks)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self.step()
        self.is_dead = True
        self._ready.clear()

    def _interrupt(self) -> None:
        if not self._interruptions:
            return
        due = [callback for turns, callback in self._interruptions if turns <= 0]
        self._interruptions = [(turns - 1, callback) for turns, callback in self._interruptions if turns > 0]
        for callback in due:
            callback()


class ProcessLoop(asyncio.AbstractEventLoop):
    """What asyncio's tasks, futures and timers ask of an event loop, in simulated time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.dial: Callable[..., Coroutine[Any, Any, Any]] | None = None

    def time(self) -> float:
        return self._process.clock.time()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._process.is_dead

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._process.make_ready(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        process = self._process
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        process.world.at(process.clock.true_time(when) + CLOCK_RESOLUTION, process.timer_strikes, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left where it is, and does nothing when it strikes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def get_task_factory(self) -> None:
        return None

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks[task] = None
        task.add_done_callback(lambda done: self.tasks.pop(done, None))
        return task

    # asyncio has three signatures for this, with two dozen parameters; the client uses these.
    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], _host: str, port: int, **_: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        assert self.dial is not None, "this process has no network"
        protocol = protocol_factory()
        return await self.dial(protocol, port), protocol

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._process.is_dead:
            self._process.faults.append(f"{context.get('message')}: {context.get('exception')!r}")
