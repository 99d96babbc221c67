"""One event loop for each client: asyncio's, from its start to its end."""

from __future__ import annotations

import asyncio


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop.

    :raises RuntimeError: when it is none of asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "golea_async needs asyncio's event loop, and none runs here: run this under asyncio.run(), not under trio "
            "(with anyio: backend='asyncio'; in anyio's tests: an anyio_backend fixture that returns 'asyncio')"
        ) from None


def check_loop(owner: asyncio.AbstractEventLoop | None, what: str) -> None:
    """Refuse a call from another event loop than the one in which ``what`` was started: it would never be answered.

    :raises RuntimeError: when another one runs, or none.
    """
    loop = running_loop()
    if owner is None or owner is loop:
        return
    if owner.is_closed():
        raise RuntimeError(
            f"{what} was started in an event loop that is closed since, and its connection ended there: make another "
            "one in this event loop (and close each in the loop that started it)"
        )
    state = "" if owner.is_running() else ", which does not run now"
    raise RuntimeError(
        f"{what} was started in another event loop{state}: use it there (asyncio.run_coroutine_threadsafe), or make "
        "another one in this event loop"
    )
