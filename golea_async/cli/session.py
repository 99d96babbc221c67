"""A client for the length of a command, and what a command says when ZooKeeper, or the user, does not go along."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from aiozk import exc

from golea_async import (
    CandidateDeletedError,
    ElectionError,
    ElectionNotFoundError,
    ElectionOverError,
    NotAuthorizedError,
    ZKClient,
)
from golea_async.client import AuthenticationError

from .exits import Exit, Problem
from .options import ZooKeeperOptions
from .output import aside, printable, remark

SESSION_TIMEOUT = 10.0
FIRST_WORD = 2.5
"""Seconds after which a command says what it waits for."""
PATIENCE = 10.0
"""Seconds after which a command that asks one question gives up."""
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_OPTIONS = (
    (r"ZKClient\('(.*)', chroot='(.*)'\)", r"--hosts \1 --chroot \2"),
    (r"auth=\[\('digest', '(.*)'\)\]", r"--auth digest:\1"),
    (r"\bssl=", "--tls"),
    (r"\bchroot=", "--chroot"),
)


def run_async(work: Callable[[], Awaitable[int]]) -> int:
    """Run a command; return its exit code. Ctrl-C and SIGTERM cancel it; a second one ends it at once."""
    configure_logging()
    return asyncio.run(_until_signalled(work))


async def _until_signalled(work: Callable[[], Awaitable[int]]) -> int:
    task, loop, received = asyncio.ensure_future(work()), asyncio.get_running_loop(), list[int]()

    def stop(number: int) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has it ignored
            loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]


def configure_logging() -> None:
    """Have what the library warns of said as a command says it."""

    class Remarks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            remark(record.getMessage())

    class Others(logging.Handler):
        """Else these go to standard error by themselves, which may block."""

        def emit(self, record: logging.LogRecord) -> None:
            aside(f"{self.format(record)}\n")

    logging.getLogger().addHandler(Others())
    logger = logging.getLogger("golea_async")
    logger.addHandler(Remarks())
    logger.propagate = False
    level = os.environ.get("GOLEA_LOG") or "WARNING"
    try:
        logger.setLevel(level.upper())
    except ValueError:
        raise Problem(f"GOLEA_LOG={level}: write DEBUG, INFO, WARNING or ERROR", Exit.USAGE) from None
    logging.getLogger("aiozk").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Limit:
    """When a command gives up.

    :ivar seconds: None: never.
    :ivar option: what says so.
    :ivar code: the exit code then.
    """

    seconds: float | None
    option: str = "--timeout"
    code: Exit = Exit.UNREACHABLE

    @property
    def words(self) -> str:
        """Until when it tries."""
        return "until it does" if self.seconds is None else f"until {self.seconds:g} s are over ({self.option})"


@asynccontextmanager
async def connected(
    options: ZooKeeperOptions,
    *,
    patience: float | None = PATIENCE,
    at_most: Limit | None = None,
    session_timeout: float = SESSION_TIMEOUT,
    guardian: bool = False,
) -> AsyncIterator[ZKClient]:
    """Enter with a client that is connected, and turn what can go wrong into problems with an exit code.

    :param patience: seconds after which it gives up, unless ``--timeout`` says else; None: never.
    :param at_most: another limit, which counts when it is the shorter one.
    :raises Problem: with what happened.
    """
    limit = Limit((options.timeout or None) if options.timeout is not None else patience)
    if at_most and at_most.seconds and at_most.seconds < (limit.seconds or float("inf")):
        limit = at_most
    arguments = options.client_arguments(session_timeout, guardian=guardian)
    with explained(options.where):
        client = await _started(arguments, limit)
        try:
            yield client
        finally:
            await client.close()


async def _started(arguments: dict[str, Any], limit: Limit) -> ZKClient:
    """Return a client that is connected; say within 3 seconds why that takes so long."""
    hosts = printable(arguments["servers"])
    first = FIRST_WORD if limit.seconds is None else min(FIRST_WORD, limit.seconds)
    try:
        client = ZKClient(**arguments)
    except ValueError as error:
        raise Problem(f"{as_options(str(error))} (--hosts, GOLEA_HOSTS)", Exit.USAGE) from None
    try:
        async with asyncio.timeout(first):
            await client.start()
        return client
    except TimeoutError as error:
        state = _what_became_of_the_hosts(error) or f"no ZooKeeper server answers at {hosts}"
    if limit.seconds is not None and limit.seconds <= first:
        raise _unreachable(state, limit)
    remark(f"{state}; trying {limit.words}")
    client = ZKClient(**arguments)
    try:
        async with asyncio.timeout(None if limit.seconds is None else limit.seconds - first):
            await client.start()
    except TimeoutError as error:
        raise _unreachable(_what_became_of_the_hosts(error) or state, limit) from None
    return client


def _unreachable(state: str, limit: Limit) -> Problem:
    return Problem(
        f"{state}. Gave up after {limit.seconds:g} s ({limit.option}).\n"
        "Is that the right address (--hosts, GOLEA_HOSTS)? See: golea doctor",
        limit.code,
    )


def _what_became_of_the_hosts(error: BaseException | None) -> str | None:
    """Return the client's note on the end of its wait: what became of each host."""
    while error is not None:
        for note in getattr(error, "__notes__", ()):
            return as_options(re.sub(r", for [\d.]+ s now", "", str(note)))
        error = error.__cause__ or error.__context__
    return None


def as_options(text: str) -> str:
    """Return what the library says of its arguments in terms of options."""
    for argument, option in _OPTIONS:
        text = re.sub(argument, option, text)
    return text


class explained:  # noqa: N801  # a context manager, used as a function
    """Turn the errors of the library into problems.

    :param where: what to add to an election's path.
    """

    def __init__(self, where: str = "") -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, (Problem, BrokenPipeError)):
            _raise_problem(error, self._where)


def no_election(resource: str | None, where: str) -> Problem:
    """Say that there is no such election."""
    return Problem(f"there is no election {resource}{where}. To make it: golea create {resource}", Exit.NOT_FOUND)


def _raise_problem(error: Exception, where: str) -> NoReturn:
    match error:
        case ElectionNotFoundError():
            raise no_election(error.resource, where) from None
        case ElectionOverError():
            text = f"the election {error.resource}{where} is being ended or deleted: nobody can stand there"
            way_out = f"Who is left: golea status {error.resource}. To finish it: golea end {error.resource}"
            raise Problem(f"{text}.\n{way_out}", Exit.OVER) from None
        case NotAuthorizedError():
            text = f"not authorized on {error.path}{where}: its access control list, or its parent's, says no"
            way_out = f"Credentials: --auth-file, GOLEA_AUTH. See: golea doctor {error.resource or ''}".rstrip()
            raise Problem(f"{text}.\n{way_out}", Exit.REFUSED) from None
        case AuthenticationError():
            raise Problem(f"{error}.\nCredentials: --auth-file, GOLEA_AUTH", Exit.REFUSED) from None
        case ssl.SSLError():
            raise Problem(f"{error}.\nSee the options --tls-ca and --tls-cert", Exit.REFUSED) from None
        case CandidateDeletedError() | ElectionError():
            raise Problem(str(error), Exit.UNFIT) from None
        case ValueError():
            raise Problem(str(error), Exit.USAGE) from None
        case exc.NoAuth():
            raise Problem("ZooKeeper says: not authorized. Credentials: --auth-file", Exit.REFUSED) from None
        case exc.ZKError():
            raise Problem(f"ZooKeeper: {str(error) or type(error).__name__}", Exit.UNFIT) from None
    raise error
