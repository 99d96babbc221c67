"""Everything that can be cancelled is, at every single step of the event loop; nothing may stay of it."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiozk
import anyio
import pytest
from aiozk.states import States

from golea_async import (
    AsyncElection,
    ElectionOverError,
    NotStandingError,
    ResignError,
    Role,
    Status,
    ZKClient,
    create_election,
    delete_election,
    observe_leader,
)
from tests.support.elections import Connect, connected, eventually, soon, status_of
from tests.support.ensemble import Ensemble
from tests.support.interruption import INTERRUPTIONS, Fuse, Work
from tests.support.leftovers import (
    background_tasks,
    background_to_end,
    out_of_touch,
    server_watches,
    state_waiters,
    tasks_of_elections,
    watch_callbacks,
)
from tests.support.proxy import Action, Frame, Proxy
from tests.support.wire import OpCode, WireClient

Interruption = Callable[[Work, int], Awaitable[bool]]
ROOT = Path(__file__).parents[2]
every_way = pytest.mark.parametrize("interrupted", INTERRUPTIONS, ids=lambda way: way.__name__)
_names = itertools.count()

pytestmark = pytest.mark.asyncios_loop  # the steps of uvloop cannot be counted


@dataclass(frozen=True, slots=True)
class Scene:
    """An election on the single server: who is cancelled uses `zk`, everybody else `other`.

    Each client has a leader elsewhere all the time, and so a lease: nobody has to wait for the first one.
    """

    ensemble: Ensemble
    resource: str
    zk: aiozk.ZKClient
    other: aiozk.ZKClient
    wire: WireClient
    before: tuple[object, ...]
    tasks: set[asyncio.Task[Any]]

    def candidate(self, name: str = "interrupted") -> AsyncElection:
        return AsyncElection(self.zk, self.resource, name)

    async def children(self) -> list[str]:
        return await self.wire.get_children(self.resource)

    async def assert_nothing_is_left(self) -> None:
        """No znode, task, watch or waiter: for use when nobody stands."""
        await soon(background_to_end(self.tasks))
        assert await self.children() == []
        assert kept_by(self.zk, self.other) == self.before
        await eventually(lambda: server_watches(self.ensemble.leader(), self.resource) == [])

    async def assert_usable(self) -> None:
        """Somebody else can lead."""
        async with AsyncElection(self.other, self.resource, "somebody else") as election:
            assert election.is_leader


def kept_by(*clients: aiozk.ZKClient) -> tuple[object, ...]:
    return tuple((set(watch_callbacks(zk)), state_waiters(zk)) for zk in clients)


@pytest.fixture
async def scene(server: Ensemble, connect: Connect) -> AsyncIterator[Scene]:
    async with await WireClient.connect(server.leader().port) as wire:
        resource = await wire.create(f"/cancellation-{next(_names)}")
        clients = await connect(server.hosts, session_timeout=4), await connect(server.hosts, session_timeout=4)
        leaders = [AsyncElection(zk, await wire.create(f"{resource}-{i}")) for i, zk in enumerate(clients)]
        await soon(asyncio.gather(*(leader.start() for leader in leaders)))
        yield Scene(server, resource, *clients, wire, kept_by(*clients), background_tasks())
        for leader in leaders:
            await soon(leader.resign())
        await soon(background_to_end())
        for zk in clients:
            assert watch_callbacks(zk) == {}
            assert state_waiters(zk) == 0


@every_way
async def test_start(scene: Scene, interrupted: Interruption) -> None:
    for steps in itertools.count():
        was_interrupted = await soon(interrupt_start(scene.candidate(), interrupted, steps))
        await scene.assert_nothing_is_left()
        await scene.assert_usable()
        if not was_interrupted:
            break
    assert steps > 0  # before its task has begun: what comes then is done in the calls that read the answers


@every_way
async def test_start_as_a_follower(scene: Scene, interrupted: Interruption) -> None:
    async with AsyncElection(scene.other, scene.resource, "leader"):
        theirs, server = background_tasks(), scene.ensemble.leader()
        await eventually(lambda: len(server_watches(server, scene.resource)) == 3)  # the leader, DONE and step_down
        theirs_on_the_server = server_watches(server, scene.resource)
        (leader,) = await scene.children()
        for steps in itertools.count():
            was_interrupted = await soon(interrupt_start(scene.candidate(), interrupted, steps))
            await soon(background_to_end(theirs))
            assert await scene.children() == [leader]
            assert kept_by(scene.zk) == scene.before[:1]
            await eventually(lambda: server_watches(server, scene.resource) == theirs_on_the_server)
            if not was_interrupted:
                break
    assert steps > 0


async def interrupt_start(election: AsyncElection, interrupted: Interruption, steps: int) -> bool:
    """Interrupt its start; one that came through is resigned."""
    started = False

    async def start() -> None:
        nonlocal started
        await election.start()
        started = True

    was_interrupted = await interrupted(start, steps)
    if started:
        await election.resign()
    return was_interrupted


@every_way
async def test_resign(scene: Scene, interrupted: Interruption) -> None:
    """The cancellation is held back until the znode is gone."""
    for steps in itertools.count():
        election = scene.candidate()
        await election.start()
        was_interrupted = await soon(interrupted(election.resign, steps))
        assert await scene.children() == []
        assert background_tasks() == scene.tasks
        assert not election.is_leader
        await scene.assert_nothing_is_left()
        await scene.assert_usable()
        if not was_interrupted:
            break
    assert steps > 2  # the deletion, and the end of its task


async def test_the_background_task_before_its_first_step(scene: Scene) -> None:
    """The nomination was sent by then: nothing may stay of it, and nobody who nominates later may wait for it."""
    election = scene.candidate()
    starting = asyncio.create_task(election.start())
    await asyncio.sleep(0)
    (task,) = tasks_of_elections() - scene.tasks
    task.cancel()

    async def until_it_has_ended() -> None:
        await soon(asyncio.gather(starting, return_exceptions=True))  # it may have led for a moment
        await eventually(lambda: election.status.role is Role.NONE)

    with pytest.warns(ResourceWarning):
        await until_it_has_ended()
    await soon(election.resign())
    await scene.assert_nothing_is_left()
    async with scene.candidate() as another:
        assert another.is_leader
    await scene.assert_nothing_is_left()


@pytest.mark.parametrize("is_behind", [False, True], ids=["first", "behind"])
@pytest.mark.filterwarnings("ignore:candidate .* was cancelled:ResourceWarning")
async def test_the_background_task_at_any_step(scene: Scene, *, is_behind: bool) -> None:
    """It waits from its first step on: the calls that read the answers do the rest."""
    for steps in itertools.count():
        leader = AsyncElection(scene.other, scene.resource, "leader")
        if is_behind:
            await leader.start()
        theirs, election = background_tasks(), scene.candidate()

        def cancel(theirs: set[asyncio.Task[Any]] = theirs) -> None:
            for task in background_tasks() - theirs:
                task.cancel()

        fuse = Fuse(steps, cancel)
        with fuse.lit(), suppress(NotStandingError):
            await soon(election.start())
            await scene.zk.exists("/")  # answered behind what the candidate has sent
            await scene.zk.exists("/")
        await soon(election.resign())
        await soon(background_to_end(theirs))
        assert kept_by(scene.zk) == scene.before[:1]
        await leader.resign()
        await scene.assert_nothing_is_left()
        await scene.assert_usable()
        if not fuse.has_fired:
            break
    assert steps > 2  # its first, and while the candidate is placed


@every_way
async def test_a_body(scene: Scene, interrupted: Interruption) -> None:
    async def body() -> None:
        async with scene.candidate() as election:
            statuses = election.statuses()
            assert (await anext(statuses)).role is Role.LEADER
            for _ in range(10):
                await asyncio.sleep(0)
            assert election.is_leader

    for steps in itertools.count():
        was_interrupted = await soon(interrupted(body, steps))
        await scene.assert_nothing_is_left()
        await scene.assert_usable()
        if not was_interrupted:
            break
    assert steps > 10  # those of its body, and those of its start and end


@every_way
async def test_reading_statuses_loses_nothing(scene: Scene, interrupted: Interruption) -> None:
    for steps in itertools.count():
        leader = AsyncElection(scene.other, scene.resource, "leader")
        await leader.start()
        async with scene.candidate() as election:
            statuses, roles = election.statuses(), list[Role]()

            async def read() -> None:
                async for status in statuses:  # noqa: B023
                    roles.append(status.role)  # noqa: B023
                    if status.role is Role.LEADER:
                        return

            resigning = list[asyncio.Task[None]]()

            async def resign_and_read() -> None:
                resigning.append(asyncio.create_task(leader.resign()))  # noqa: B023
                await read()

            was_interrupted = await soon(interrupted(resign_and_read, steps))
            if Role.LEADER not in roles:
                await soon(read())
            await asyncio.gather(*resigning)
            assert roles in ([Role.FOLLOWER, Role.LEADER], [Role.LEADER])
        await scene.assert_nothing_is_left()
        if not was_interrupted:
            break
    assert steps > 0  # it waits for the hand-over; whose answers come first, and wake whom, is the servers' affair


@every_way
async def test_observing_loses_nothing(scene: Scene, interrupted: Interruption) -> None:
    for steps in itertools.count():
        first, second = AsyncElection(scene.other, scene.resource, "1"), AsyncElection(scene.other, scene.resource, "2")
        await first.start()
        await second.start()
        observed, names = observe_leader(scene.zk, scene.resource), list[str | None]()
        resigning = list[asyncio.Task[None]]()

        async def read() -> None:
            async for leader in observed:  # noqa: B023
                names.append(leader.name if leader else None)  # noqa: B023
                if names[-1] == "2":  # noqa: B023
                    return
                resigning.append(asyncio.create_task(first.resign()))  # noqa: B023

        was_interrupted = await soon(interrupted(read, steps))
        if "2" not in names:
            await soon(read())
        await asyncio.gather(*resigning)
        assert names == ["1", "2"]
        await second.resign()
        await scene.assert_nothing_is_left()
        if not was_interrupted:
            break
    assert steps > 3  # two round trips for each of the two


@every_way
async def test_delete_election(scene: Scene, interrupted: Interruption) -> None:
    """Either nothing has happened, or it is carried through."""
    outcomes = set()
    for steps in itertools.count():
        await create_election(scene.other, scene.resource)
        candidate = AsyncElection(scene.other, scene.resource, "told")
        await candidate.start()
        was_interrupted = await soon(interrupted(lambda: delete_election(scene.zk, scene.resource), steps))
        await soon(deletion_to_end())
        is_deleted = await scene.wire.exists(scene.resource) is None
        outcomes.add(is_deleted)
        if is_deleted:
            await soon(background_to_end(scene.tasks))
            assert isinstance(candidate.status.error, ElectionOverError)
        else:
            assert len(await scene.children()) == 1
            await soon(candidate.wait_for_leadership())
        await candidate.resign()
        await create_election(scene.other, scene.resource)
        await scene.assert_nothing_is_left()
        await scene.assert_usable()
        if not was_interrupted:
            break
    assert outcomes == {False, True}


async def deletion_to_end() -> None:
    while tasks := {task for task in background_tasks() if task.get_name().startswith("golea_async Teardown")}:
        await asyncio.wait(tasks)


@every_way
async def test_end(scene: Scene, interrupted: Interruption) -> None:
    outcomes = set()
    for steps in itertools.count():
        follower = AsyncElection(scene.other, scene.resource, "told")
        election = scene.candidate()
        await election.start()
        await follower.start()
        was_interrupted = await soon(interrupted(election.end, steps))
        await soon(deletion_to_end())
        names = await scene.children()
        outcomes.add(names == [])
        if names:
            assert len(names) == 2
            await soon(election.wait_for_leadership())
            await election.resign()
            await follower.resign()
        else:
            await soon(background_to_end(scene.tasks))
            assert isinstance(election.status.error, ElectionOverError)
            assert isinstance(follower.status.error, ElectionOverError)
        await scene.assert_nothing_is_left()
        await scene.assert_usable()
        if not was_interrupted:
            break
    assert outcomes == {False, True}


@every_way
async def test_create_election(scene: Scene, interrupted: Interruption) -> None:
    resource = f"{scene.resource}/deep/er"
    for steps in itertools.count():
        was_interrupted = await soon(interrupted(lambda: create_election(scene.zk, resource), steps))
        await soon(background_to_end(scene.tasks))
        assert kept_by(scene.zk) == scene.before[:1]
        await create_election(scene.zk, resource)
        await delete_election(scene.zk, resource)
        if await scene.wire.exists(f"{scene.resource}/deep") is not None:
            await scene.wire.delete(f"{scene.resource}/deep")
        if not was_interrupted:
            break
    assert steps > 1  # one round trip


class TestResigning:
    async def test_in_a_cancelled_task(self, scene: Scene) -> None:
        election = scene.candidate()
        await election.start()
        is_in_finally = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                is_in_finally.set()
                await election.resign()
                assert await scene.children() == []

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await is_in_finally.wait()
        task.cancel()  # once more, while it resigns
        with pytest.raises(asyncio.CancelledError):
            await soon(task)
        await scene.assert_nothing_is_left()

    async def test_with_a_cancellation_pending(self, scene: Scene) -> None:
        election = scene.candidate()
        await election.start()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await election.resign()
        assert task.uncancel() == 0
        await scene.assert_nothing_is_left()

    async def test_in_a_cancelled_scope(self, scene: Scene) -> None:
        election = scene.candidate()
        await election.start()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await election.resign()
            assert background_tasks() == scene.tasks
            await asyncio.sleep(0)
        assert scope.cancelled_caught
        await scene.assert_nothing_is_left()

    @pytest.mark.parametrize("is_first", [True, False], ids=["the scope first", "the scope last"])
    async def test_in_a_scope_and_a_task_that_are_cancelled_at_once(self, scene: Scene, is_first: bool) -> None:
        """asyncio makes one exception of the two, with the text of the first; the task's must not be lost.

        Before anyio 4.16 a scope itself loses it, whatever goes on inside.
        """
        election = scene.candidate()
        await election.start()

        async def is_cancelled(waiting: Awaitable[object]) -> bool:
            scope = anyio.CancelScope()

            async def work() -> None:
                with scope:
                    await waiting
                await asyncio.sleep(0)

            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            for cancel in (scope.cancel, task.cancel) if is_first else (task.cancel, scope.cancel):
                cancel()
            await soon(asyncio.wait([task]))
            return task.cancelled()

        assert await is_cancelled(election.resign()) == await is_cancelled(asyncio.Event().wait())
        await scene.assert_nothing_is_left()

    @pytest.mark.parametrize("has_body", [True, False], ids=["with a body", "without a body"])
    async def test_with_the_background_task(self, scene: Scene, has_body: bool) -> None:
        """So ends `asyncio.run`: all tasks are cancelled at once. `resign()` tries all the same."""
        election = scene.candidate()
        await election.start()
        (background,) = tasks_of_elections() - scene.tasks
        goes_on = asyncio.Event()

        async def lead() -> None:
            async with election.leadership():
                try:
                    await asyncio.Event().wait()
                finally:
                    await goes_on.wait()

        body = asyncio.create_task(lead()) if has_body else None
        await asyncio.sleep(0)
        resigning = asyncio.create_task(election.resign())
        await asyncio.sleep(0)
        for task in (background, resigning):
            task.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await soon(resigning)
        if body is not None:
            await soon(asyncio.gather(body, return_exceptions=True))
        assert await scene.children() == []
        await scene.assert_nothing_is_left()

    async def test_in_a_task_group_that_fails(self, scene: Scene) -> None:
        election = scene.candidate()

        async def stand() -> None:
            async with election:
                await asyncio.Event().wait()

        async def fail_when_it_leads() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(stand())
                await status_of(election.statuses(), Role.LEADER)
                raise ValueError

        with pytest.raises(ExceptionGroup):
            await fail_when_it_leads()
        await scene.assert_nothing_is_left()

    async def test_before_and_while_starting(self, scene: Scene) -> None:
        election = scene.candidate()
        await election.resign()
        starting = asyncio.create_task(election.start())
        await asyncio.sleep(0)
        await election.resign()
        with pytest.raises(NotStandingError):
            await soon(starting)
        await scene.assert_nothing_is_left()

    async def test_many_at_once(self, scene: Scene) -> None:
        election = scene.candidate()
        await election.start()
        await asyncio.gather(*(election.resign() for _ in range(5)))
        await election.resign()
        await scene.assert_nothing_is_left()


@pytest.fixture
async def proxy(server: Ensemble) -> AsyncIterator[Proxy]:
    async with Proxy(server.leader().port) as proxy:
        yield proxy


@pytest.mark.parametrize("what", ["the start", "the background task", "resigning"])
@pytest.mark.parametrize(
    ("behind", "answers"),
    [
        ("nobody", [OpCode.CREATE2]),
        ("nobody", [OpCode.GET_DATA]),  # the election node's, which shows that it is alone
        ("nobody", [OpCode.EXISTS]),  # that of `DONE`
        ("nobody", [OpCode.GET_DATA, OpCode.GET_DATA]),  # its own, behind the decision
        ("a leader", [OpCode.CREATE2]),
        ("a leader", [OpCode.GET_DATA]),
        ("a leader", [OpCode.EXISTS]),
        ("a leader", [OpCode.GET_DATA, OpCode.GET_DATA]),  # the leader's
        ("a leader", [OpCode.GET_DATA, OpCode.GET_DATA, OpCode.GET_DATA]),
        ("a gap", [OpCode.GET_CHILDREN2]),
    ],
    ids=lambda value: f"behind {value}" if isinstance(value, str) else "_".join(opcode.name for opcode in value),
)
@pytest.mark.filterwarnings("ignore:candidate .* was cancelled:ResourceWarning")
async def test_while_an_answer_is_awaited(
    scene: Scene, proxy: Proxy, behind: str, answers: list[OpCode], what: str
) -> None:
    """A candidate acts upon an answer in the very call that reads it, between two steps: so each is held back here."""
    passed = answers[:-1]

    def is_awaited(frame: Frame) -> bool:
        if frame.opcode in passed:
            passed.remove(OpCode(frame.opcode))
            return False
        return frame.opcode == answers[-1]

    async with connected(proxy.address, session_timeout=4) as zk:
        leader, gone = (AsyncElection(scene.other, scene.resource, name) for name in ("leader", "gone"))
        if behind != "nobody":
            await leader.start()
        if behind == "a gap":
            await gone.start()
            await gone.resign()
        theirs, election = background_tasks(), AsyncElection(zk, scene.resource, "interrupted")
        answer = proxy.on_reply(is_awaited, Action.HOLD)
        starting = asyncio.create_task(election.start())
        await soon(asyncio.shield(answer.happened))
        if what == "the start":
            starting.cancel()
        elif what == "the background task":
            (task,) = tasks_of_elections() - theirs
            task.cancel()
        else:
            resigning = asyncio.create_task(election.resign())
        await asyncio.sleep(0)
        answer.release()
        (outcome,) = await soon(asyncio.gather(starting, return_exceptions=True))
        assert isinstance(outcome, (Status, asyncio.CancelledError if what == "the start" else NotStandingError))
        await soon(election.resign())
        if what == "resigning":
            await soon(resigning)
        await soon(background_to_end(theirs))
        assert not election.is_leader
        assert watch_callbacks(zk) == {}
        assert await scene.children() == [str(leader.status.candidate_id).rpartition("/")[2]] * (behind != "nobody")
        await leader.resign()
        await scene.assert_nothing_is_left()
        await scene.assert_usable()


@pytest.mark.filterwarnings("ignore:candidate .* was cancelled:ResourceWarning")
async def test_who_was_not_alone_lists_nothing_once_it_is_cancelled(scene: Scene, proxy: Proxy) -> None:
    """It has the first number and waits for the election node to show that; the client goes on for another election."""
    async with connected(proxy.address, session_timeout=4) as zk:
        async with AsyncElection(zk, f"{scene.resource}-0"):
            theirs, election = background_tasks(), AsyncElection(zk, scene.resource, "interrupted")
            nominated = proxy.on_reply(lambda frame: frame.opcode == OpCode.CREATE2, Action.HOLD)
            question = proxy.on_request(lambda frame: frame.opcode == OpCode.GET_DATA, Action.HOLD)
            starting = asyncio.create_task(election.start())
            await soon(asyncio.gather(nominated, question))
            await scene.wire.create(f"{scene.resource}/stranger")
            nominated.release()
            (task,) = tasks_of_elections() - theirs
            task.cancel()
            await soon(asyncio.gather(starting, return_exceptions=True))
            await soon(background_to_end(theirs))
            lists = proxy.requests[OpCode.GET_CHILDREN2]
            question.release()
            await soon(zk.exists("/"))
            await soon(zk.exists("/"))  # whatever was asked upon an answer is answered, too
            assert proxy.requests[OpCode.GET_CHILDREN2] == lists
            await eventually(lambda: server_watches(scene.ensemble.leader(), scene.resource) == [])
            await soon(election.resign())
        await scene.wire.delete(f"{scene.resource}/stranger")
        await scene.assert_nothing_is_left()


class TestOutOfTouch:
    """The client has no connection: nothing is known, and nothing can be done, until it comes back."""

    @pytest.fixture
    async def election(self, scene: Scene, proxy: Proxy) -> AsyncIterator[AsyncElection]:
        async with connected(proxy.address, session_timeout=4) as zk:
            yield AsyncElection(zk, scene.resource, "out of touch")

    async def test_resigning_takes_too_long(self, scene: Scene, proxy: Proxy, election: AsyncElection) -> None:
        await election.start()
        async with out_of_touch(election._zk, proxy):
            with pytest.raises(ResignError, match=r"le_0000000000.*resign\(\) again"):
                await election.resign(timeout=0.01)
            with pytest.raises(ResignError):
                await election.resign(timeout=0)
            assert election.status.role is Role.NONE
            assert not election.is_leader
            second = asyncio.create_task(election.resign(timeout=None))
            await asyncio.sleep(0)
            assert len(await scene.children()) == 1
        await soon(second)
        await scene.assert_nothing_is_left()
        await scene.assert_usable()

    async def test_deleting_goes_on_in_the_background(
        self, scene: Scene, proxy: Proxy, election: AsyncElection
    ) -> None:
        await election.start()
        async with out_of_touch(election._zk, proxy):
            with pytest.raises(ResignError):
                await election.resign(timeout=0)
        await scene.assert_nothing_is_left()
        await election.resign(timeout=0)

    async def test_the_client_is_closed(self, scene: Scene) -> None:
        """Its session lives on, and the znode with it: nobody may be told that it is gone. aiozk's close() raises."""
        async with Proxy(scene.ensemble.leader().port) as proxy:
            zk = ZKClient(proxy.address, session_timeout=4)
            await zk.start()
            election = AsyncElection(zk, scene.resource, "out of touch")
            await election.start()
        await eventually(lambda: zk.session.state == States.SUSPENDED)
        await soon(zk.close())
        with pytest.raises(ResignError):
            await soon(election.resign())
        (child,) = await scene.children()
        await scene.wire.delete(f"{scene.resource}/{child}")

    async def test_a_start_is_cancelled(self, scene: Scene, proxy: Proxy, election: AsyncElection) -> None:
        async with out_of_touch(election._zk, proxy):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await election.start()
        await election.resign()
        await scene.assert_nothing_is_left()

    async def test_a_deletion_is_cancelled(self, scene: Scene, proxy: Proxy, election: AsyncElection) -> None:
        async with out_of_touch(election._zk, proxy):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await delete_election(election._zk, scene.resource)
        assert await scene.wire.exists(scene.resource) is not None
        await scene.assert_nothing_is_left()


PROGRAM = """
import asyncio, sys, warnings
import aiozk
from golea_async import AsyncElection, ZKClient

async def main(hosts, resource, kind):
    zk = {{"aiozk": aiozk.ZKClient, "own": ZKClient}}[kind](hosts, session_timeout=10)
    await zk.start()
    election = AsyncElection(zk, resource, "program")
    {body}

asyncio.run(main(*sys.argv[1:]))
"""
WAITING = """
    try:
        async with election:
            print("stands", flush=True)
            await asyncio.Event().wait()
    finally:
        if kind == "aiozk":  # on Python 3.11 its reader may swallow the cancellation, when an answer has just come
            await zk.close()
"""
FORGETTING = """
    await election.start()
    print("stands", flush=True)
"""
STARTING_ONLY = """
    starting = asyncio.create_task(election.start())
    print("stands", flush=True)
"""


class TestProgram:
    """A process of its own that ends in one way or another."""

    async def start(self, scene: Scene, body: str) -> asyncio.subprocess.Process:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "always::ResourceWarning",
            "-c",
            PROGRAM.format(body=body.strip()),
            scene.ensemble.hosts,
            scene.resource,
            "own" if isinstance(scene.zk, ZKClient) else "aiozk",
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert await soon(program.stdout.readline()) == b"stands\n"
        return program

    async def test_control_c(self, scene: Scene) -> None:
        """The znode goes at once, not a session timeout later."""
        program = await self.start(scene, WAITING)
        assert len(await scene.children()) == 1
        program.send_signal(signal.SIGINT)
        _, errors = await soon(program.communicate())
        assert b"KeyboardInterrupt" in errors, errors.decode()
        assert await scene.children() == []
        assert b"ResourceWarning: candidate" not in errors

    async def test_it_forgets_to_resign(self, scene: Scene) -> None:
        program = await self.start(scene, FORGETTING)
        _, errors = await soon(program.communicate())
        assert program.returncode == 0, errors.decode()
        assert b"ResourceWarning: candidate 'program'" in errors
        assert b"has not resigned" in errors
        assert b"Traceback" not in errors

    async def test_it_ends_while_starting(self, scene: Scene) -> None:
        program = await self.start(scene, STARTING_ONLY)
        _, errors = await soon(program.communicate())
        assert program.returncode == 0, errors.decode()
        assert b"golea_async" not in errors.replace(b"ResourceWarning", b""), errors.decode()


def test_the_event_loop_ends_first(server: Ensemble) -> None:
    """`asyncio.run` cancels the background task: belief and statuses end, and resigning in `finally` still works."""

    async def run() -> None:
        async with await WireClient.connect(server.leader().port) as wire:
            resource = await wire.create(f"/cancellation-{next(_names)}")
            zk = aiozk.ZKClient(server.hosts, session_timeout=4)
            await zk.start()
            election = AsyncElection(zk, resource)
            await election.start()
            statuses = election.statuses()
            assert (await anext(statuses)).role is Role.LEADER
            for task in background_tasks():
                task.cancel()
            with pytest.warns(ResourceWarning, match="has not resigned"):
                await background_to_end()
            assert not election.is_leader
            assert election.status.role is Role.NONE
            assert [status async for status in statuses] == []
            assert len(await wire.get_children(resource)) == 1
            await election.resign()
            assert await wire.get_children(resource) == []
            assert background_tasks() == set()
            await zk.close()

    asyncio.run(run())
