"""The page in a real browser: it follows a kill by itself, runs nothing, and fits a phone."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.ports import LOOPBACK, choose_free_ports
from tests.support.programs import PATIENCE, eventually
from tests.support.wire import WireClient
from tests.web.conftest import Line, Run
from tests.web.test_answers import RIGHT_TO_LEFT, SCRIPT
from tests.web.test_processes import serve

pytestmark = pytest.mark.system

SCREENSHOTS = os.environ.get("GOLEA_SCREENSHOTS")
"""A directory for pictures of the page, for who wants to look at them."""


class Tab:
    """One page of a browser, by its DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.loaded: list[str] = []
        """Every address that was asked for."""
        self.said: list[str] = []
        """What the page has logged, and dialogs that it has opened."""
        self._numbers = itertools.count(1)
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told.get("result", told.get("error")))
            elif told["method"] == "Network.requestWillBeSent":
                self.loaded.append(told["params"]["request"]["url"])
            elif told["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening"):
                self.said.append(str(told["params"]))

    async def tell(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def value(self, expression: str) -> Any:
        """Evaluate it in the page; None while the page is being loaded."""
        answer = await self.tell("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer.get("result", {}).get("value")

    async def until_it_says(self, text: str) -> None:
        async def look() -> bool:
            return text in str(await self.value("document.body && document.body.innerText"))

        await eventually(look)

    async def picture(self, name: str) -> None:
        if SCREENSHOTS:
            shot = await self.tell("Page.captureScreenshot", format="png")
            (Path(SCREENSHOTS) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture
async def open_tab(tmp_path: Path) -> AsyncIterator[Callable[[str], Any]]:
    """`async with open_tab(url) as tab: ...`, in a browser of this test's own."""
    browser = await asyncio.create_subprocess_exec(
        *("/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--remote-debugging-port=0"),
        *(f"--user-data-dir={tmp_path}/browser", "about:blank"),
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    file = tmp_path / "browser" / "DevToolsActivePort"

    async def port() -> str | None:
        lines = file.read_text().split() if file.exists() else []
        return lines[0] if len(lines) == 2 else None

    @asynccontextmanager
    async def open_(url: str) -> AsyncIterator[Tab]:
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://{LOOPBACK}:{await eventually(port)}/json/new?about:blank") as response:
                address = (await response.json(content_type=None))["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=0) as socket:
                tab = Tab(socket)
                for each in ("Network", "Page", "Runtime", "Log"):
                    await tab.tell(f"{each}.enable")
                await tab.tell("Page.navigate", url=url)
                yield tab
                tab._reading.cancel()

    try:
        yield open_
    finally:
        browser.terminate()
        await browser.wait()


LOOKS = {
    "light": ("light", 1280, 900, False),
    "dark": ("dark", 1280, 900, False),
    "phone": ("dark", 390, 844, True),
}


async def test_the_page_follows_a_kill(
    run: Run, line: Line, wire: WireClient, resource: str, open_tab: Callable[[str], Any]
) -> None:
    ports = choose_free_ports(2)
    settings = {"SESSION_TIMEOUT": "2"}
    async with run(*serve("fastapi", ports[0]), **settings) as first:
        await first.line("^leads")
        async with run(*serve("fastapi", ports[1]), **settings) as second:
            await line.until(2)
            for name in (SCRIPT, RIGHT_TO_LEFT, "x" * 900_000):
                await wire.create(f"{resource}/le_", name.encode(), ephemeral=True, sequential=True)
            site = f"http://{LOOPBACK}:{ports[1]}/"
            host = os.uname().nodename
            async with open_tab(f"{site}election/") as tab:
                await tab.until_it_says(f"Led by {host}:{first.process.pid}.")
                assert SCRIPT in await tab.value("document.body.innerText")
                first.process.kill()
                await tab.until_it_says(f"Led by {host}:{second.process.pid}.")

                for name, (scheme, width, height, is_phone) in LOOKS.items():
                    scheme_wanted = [{"name": "prefers-color-scheme", "value": scheme}]
                    await tab.tell("Emulation.setEmulatedMedia", features=scheme_wanted)
                    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}
                    await tab.tell("Emulation.setDeviceMetricsOverride", **size)
                    await tab.until_it_says("Last changes here")
                    wide = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
                    assert await tab.value(wide), f"{name}: nothing is cut off at the side"
                    await tab.picture(name)

                assert not await tab.value("document.scripts.length")
                foreign = [url for url in tab.loaded if not url.startswith(site)]
                assert foreign == []
                assert len(tab.loaded) > 2, "it has loaded itself again"
                assert [each for each in tab.said if "favicon" not in each] == []
