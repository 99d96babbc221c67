"""The signals that ``golea run`` gets, each with the process group that got it: there the command has got it, too.

What the kernel sends (SI_KERNEL) it sends to a group: Ctrl-C, Ctrl-Z, Ctrl-\\ and a new size to the terminal's
foreground group, SIGHUP and SIGCONT to that of a session whose leader has ended, or to one that becomes orphaned with a
stopped process in it. There is one exception (``tty_signal_session_leader``): of a hangup it tells the session's leader
alone, and everybody else only when that has ended. With ``ssh -t`` or ``xterm -e`` that is golea.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
FORWARDED = (*ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP)
_SI_KERNEL = 0x80


def listen(heard: Callable[[signal.Signals, int], None]) -> None:
    """Have ``heard`` called in this loop with each signal and the process group that got it; 0: only this process.

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
                loop.call_soon_threadsafe(heard, signal.Signals(info.si_signo), _group(info))
            except RuntimeError:
                return  # the loop is closed

    threading.Thread(target=listen_in_thread, name="golea-signals", daemon=True).start()


def _group(info: signal.struct_siginfo) -> int:
    if info.si_code != _SI_KERNEL:
        return 0
    is_of_hangup = info.si_signo in {signal.SIGHUP, signal.SIGCONT}
    return 0 if is_of_hangup and os.getsid(0) == os.getpid() else os.getpgrp()
