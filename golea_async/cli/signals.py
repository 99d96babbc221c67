"""The signals that ``golea run`` gets, each with whether a terminal has sent it: then the command has got it, too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP)
_SI_KERNEL = 0x80


def listen(heard: Callable[[signal.Signals, bool], None]) -> None:
    """Have ``heard`` called in this loop with each signal and whether the kernel has sent it, as for a terminal.

    To be called before any thread or process is started: they inherit which signals are blocked. Signals that are
    ignored, as ``nohup`` has it, stay so.
    """
    loop = asyncio.get_running_loop()
    listened = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, listened)

    def listen_in_thread() -> None:
        while True:
            info = signal.sigwaitinfo(listened)
            try:
                loop.call_soon_threadsafe(heard, signal.Signals(info.si_signo), info.si_code == _SI_KERNEL)
            except RuntimeError:
                return  # the loop is closed

    threading.Thread(target=listen_in_thread, name="golea-signals", daemon=True).start()
