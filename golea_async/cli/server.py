"""``golea server``: a ZooKeeper for development."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Literal

from cyclopts import Parameter

from golea_async.testing import Ensemble, EnsembleError, MemoryZooKeeper, ZooKeeperNotInstalledError

from .exits import Exit, Problem
from .options import Json
from .output import remark, say, say_json
from .session import run_async


def server(
    *,
    ensemble: Annotated[
        Literal[1, 3] | None,
        Parameter(help="Real ZooKeeper servers (1 or 3) instead, each a Java process, on free ports."),
    ] = None,
    port: Annotated[int, Parameter(help="Port of the one in memory (2181), 0: a free one.")] = 2181,
    tick: Annotated[float, Parameter(help="ZooKeeper's tickTime, in seconds (0.5).")] = 0.5,
    json: Json = False,
) -> int:
    """Serve a ZooKeeper for development, until Ctrl-C. All that is in it is gone then.

    It is in this process's memory, on 127.0.0.1, unless `--ensemble` asks for real ones. Session timeouts: 2 to 20
    ticks for real servers, 2 ticks to 40 s in memory.

    Example: `golea server & golea create /a; golea run /a -- my-job`

    Exit code: 0 after Ctrl-C or SIGTERM, 65 the port is taken, 78 no ZooKeeper or Java is installed.
    """

    async def work() -> int:
        with _serving(ensemble, port, tick) as hosts:
            if json:
                say_json({"hosts": hosts}, indent=None)
            else:
                say(f"GOLEA_HOSTS={hosts}")
                remark(f"{'ZooKeeper in memory' if ensemble is None else 'ZooKeeper'} serves; Ctrl-C ends it")
            await asyncio.Event().wait()
        return Exit.DONE

    code = run_async(work)
    return Exit.DONE if code in (128 + 2, 128 + 15) else code


@contextmanager
def _serving(ensemble: int | None, port: int, tick: float) -> Iterator[str]:
    with ExitStack() as serving:
        try:
            if ensemble is None:
                hosts = serving.enter_context(MemoryZooKeeper(port=port, tick=tick)).hosts
            else:
                hosts = serving.enter_context(Ensemble(ensemble, tick=tick)).hosts
        except ZooKeeperNotInstalledError as missing:
            raise Problem(f"{missing}\nThe one in memory needs nothing: golea server", Exit.CONFIGURATION) from None
        except EnsembleError as failure:
            raise Problem(str(failure), Exit.CONFIGURATION) from None
        except OSError as taken:
            text = f"port {port} of 127.0.0.1: {taken.strerror}. Another one: golea server --port 0"
            raise Problem(text, Exit.UNFIT) from None
        except (ValueError, OverflowError) as error:
            raise Problem(f"--port, --tick: {error}", Exit.USAGE) from None
        yield hosts
