"""What run() accepts as work, and what it refuses before anybody stands."""

from __future__ import annotations

import asyncio
import functools
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from golea_async._arguments import check_awaitable, check_timeout, check_work

FUTURES: list[Awaitable[None]] = []


async def work(_: object) -> None: ...


async def work_of_two(_: object, number: int) -> None: ...


async def work_of_none() -> None: ...


def decorated(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(function)
    def wrapper(*arguments: object) -> Awaitable[None]:
        return function(*arguments)

    return wrapper


def injecting(function: Callable[..., Awaitable[None]]) -> Callable[[object], Awaitable[None]]:
    @functools.wraps(function)
    def wrapper(leadership: object) -> Awaitable[None]:
        return function(leadership, 1)

    return wrapper


@types.coroutine
def old_style(_: object) -> Iterator[None]:
    yield


class Service:
    async def serve(self, _: object) -> None: ...

    def plain(self, _: object) -> None: ...

    async def __call__(self, _: object) -> None: ...

    @classmethod
    async def of_class(cls, _: object) -> None: ...

    @staticmethod
    async def static(_: object) -> None: ...


class Awaited:
    def __init__(self, _: object) -> None: ...

    def __await__(self) -> Iterator[None]:
        yield


class PlainlyCalled:
    def __call__(self, _: object) -> None: ...


class NotAwaited:
    def __init__(self, _: object) -> None: ...


def may_return_one(flag: Any) -> object:
    return flag or None


def returns_one_it_was_given(_: object) -> Awaitable[None]:
    return FUTURES[0]


def plain(_: object) -> None:
    time.monotonic()


def plain_int(_: object) -> int:
    return round(time.monotonic())


def plain_branches(leadership: object) -> str:
    return "some" if leadership else "none"


def raising(_: object) -> None:
    raise NotImplementedError


def generator(_: object) -> Iterator[None]:
    yield


async def async_generator(_: object) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    "accepted",
    [
        work,
        functools.partial(work_of_two, number=1),
        functools.partial(functools.partial(work_of_two), number=1),
        decorated(work),
        injecting(work_of_two),
        old_style,
        Service().serve,
        Service(),
        Service.of_class,
        Service.static,
        Awaited,
        AsyncMock(),
        MagicMock(),
        lambda leadership: work_of_two(leadership, 2),
        lambda _: asyncio.sleep(1),
        may_return_one,
        returns_one_it_was_given,
    ],
)
def test_what_can_work_is_accepted(accepted: object) -> None:
    check_work(accepted)


@pytest.mark.parametrize(
    "refused",
    [
        None,
        "work",
        plain,
        plain_int,
        plain_branches,
        raising,
        generator,
        async_generator,
        work_of_none,
        work_of_two,
        functools.partial(plain),
        functools.partial(work, 1),
        Service().plain,
        Service,
        PlainlyCalled(),
        NotAwaited,
        print,
        [].append,
        time.sleep,
        lambda _: None,
        lambda: work(None),
    ],
)
def test_what_cannot_work_is_refused(refused: object) -> None:
    with pytest.raises(TypeError, match=r"async def work\(leadership\)"):
        check_work(refused)


@pytest.mark.filterwarnings("error")
def test_a_coroutine_is_refused_and_closed() -> None:
    with pytest.raises(TypeError, match=r"pass the function itself, not work\(...\)"):
        check_work(work(None))


async def test_what_a_call_has_returned() -> None:
    await check_awaitable(work(None), work)
    with pytest.raises(TypeError, match="plain_int has returned 7"):
        check_awaitable(7, plain_int)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", ["x", b"1", True, [1.0], 1j])
def test_a_timeout_of_another_type(timeout: object) -> None:
    with pytest.raises(TypeError, match=r"^resign_timeout must be None or seconds"):
        check_timeout(timeout, "resign_timeout")


@pytest.mark.parametrize("timeout", [-1, -0.1, float("nan")])
def test_a_timeout_that_is_none(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be None or seconds from 0 on"):
        check_timeout(timeout)


@pytest.mark.parametrize("timeout", [None, 0, 1.5, float("inf")])
def test_a_timeout(timeout: float | None) -> None:
    check_timeout(timeout)
