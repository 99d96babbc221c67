"""The supervisor: the process that starts the command of ``golea run``, and kills it in time.

It is golea's guardian (:mod:`golea_async._zookeeper.guardian_process`) that is also the command's parent. The standard
library alone.

Theory of operation
===================

- **It believes nothing but the deadline.** golea tells each new one (CLOCK_BOOTTIME). When golea is frozen, blocked or
  slow, none comes, and what was told stands: SIGTERM at ``deadline - margin - grace``, SIGKILL at
  ``deadline - margin``.
- **No order of a dead golea is obeyed**, however long it has waited to be read: a command that began then would begin
  beside the next leader's. All that has come is read first; nothing is started when golea is dead by then, or has
  already asked for the end, or the deadline is over. The process of the command looks at it again, last of all.
- **Everything below it is killed, until there is nothing** (ECHILD). It is a subreaper: orphans become its children, so
  a daemon with a session of its own does not escape. The command itself dies with the supervisor (PR_SET_PDEATHSIG).
- **Only then is the session closed**, when golea is dead, and only then is golea told that the command has ended, which
  lets it resign.
- Whatever ended the command, what it has left behind is killed before that is said.
- It survives what ends golea: it is in a process group of its own, and ignores what a terminal or a service manager
  sends to all.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

from golea_async._zookeeper.guardian_process import (
    GUARD_VARIABLE,
    MESSAGE_SIZE,
    Guardian,
    Program,
    now,
)
from golea_async.guardian import FORWARDED, admit

from .descendants import Alarm, become_subreaper, die_with, keep_secrets, kill_all_descendants, reap_children

TYPE_CHECKING = False  # as `typing` has it, without its weight
if TYPE_CHECKING:
    from typing import Any

_RESET = (*FORWARDED, "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGPIPE", "SIGXFSZ")
_NUMBERS = [getattr(signal, name) for name in _RESET]


class SessionGuardian(Guardian):
    """Closes golea's session when golea is dead and everything below this process is dead, too."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__()
        self._supervisor = supervisor

    def _close(self, session: dict[str, Any], died_at: float) -> None:
        self._supervisor.golea_is_dead()
        super()._close(session, died_at)


class Supervisor:
    """Starts one command after the other, each when golea says so.

    Invariant: while ``_command`` is 0 nothing is below this process but what closes sessions, and that only when golea
    is dead.
    """

    def __init__(self, orders: socket.socket, command: list[str]) -> None:
        self._orders, self._argv = orders, command
        self._command, self._began = 0, 0.0  # process id, and since when it is there
        self._status: int | None = None  # its wait status
        self._cause = "itself"  # what has ended it
        self._terminate_at = self._kill_at = self._grace = self._margin = 0.0
        self._has_killed_for_good = False

    @property
    def next_deed_at(self) -> float:
        """When something is to be done, whatever happens."""
        return min(self._terminate_at, self._kill_at) if self._command else float("inf")

    def golea_is_dead(self) -> None:
        """Kill everything, once: what comes below this process later closes sessions. No order is obeyed any more."""
        if not self._has_killed_for_good:
            self._has_killed_for_good = True
            self._kill_everything("golea's death")

    # ------------------------------------------------------------------ what golea asks for

    def take_orders(self, golea: Program) -> bool:
        """Obey every order that has come; return whether there may be others: not from a golea that is dead."""
        orders, goes_on = self._read_orders()
        # Asked last: who dies later still has its session now, and this process closes that only after killing.
        if self._has_killed_for_good or not goes_on or golea.is_dead():
            return False
        for number, order in enumerate(orders):
            self._obey(order, is_taken_back=any("stop" in later for later in orders[number:]))
        return True

    def _read_orders(self) -> tuple[list[dict[str, Any]], bool]:
        """Return all orders that have come, and whether there may be others."""
        orders: list[dict[str, Any]] = []
        while True:
            try:
                message = self._orders.recv(MESSAGE_SIZE)
            except BlockingIOError:
                return orders, True
            except OSError:
                message = b""
            if not message:
                return orders, False
            orders.append(json.loads(message))

    def _obey(self, order: dict[str, Any], *, is_taken_back: bool) -> None:
        if "start" in order and is_taken_back:
            self.say(ended=0, cause="order", left=0)
        elif "start" in order:
            self._grace, self._margin = order["grace"], order["margin"]
            self._cause, self._terminate_at = "itself", 0.0
            self._new_deadline(order["deadline"])
            self._start(order["start"], order["group"], order["ignored"])
        elif "deadline" in order:
            self._new_deadline(order["deadline"])
        elif "signal" in order:
            if not self._was_reached(order["group"], order["at"]):
                self._signal(order["signal"])
        elif "stop" in order and self._command:
            self._cause = "order"
            self._kill_at = min(self._kill_at, now() + order["stop"])
            self._terminate()
        if "number" in order:
            self.say(heard=order["number"])

    def _new_deadline(self, deadline: float) -> None:
        if self._cause != "order":
            self._kill_at = deadline - self._margin
            if self._terminate_at < float("inf"):
                self._terminate_at = self._kill_at - self._grace

    def _start(self, environment: dict[str, str], group: int, ignored: list[int]) -> None:
        self._status = None
        if now() >= self._terminate_at:
            self.say(ended=0, cause="too late", left=0)
            return
        supervisor = os.getpid()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)  # here they are ignored: there they would be lost
        self._command = os.fork()
        if self._command == 0:
            die_with(supervisor)
            become(self._argv, environment, group, ignored, not_after=self._kill_at)
        with contextlib.suppress(OSError):  # it has done that itself
            os.setpgid(self._command, group)
        self._began = now()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _was_reached(self, group: int, at: float) -> bool:
        """Return whether the command got a signal that was sent to a whole process group (0: none) at that moment."""
        with contextlib.suppress(OSError):
            return bool(group and self._command) and at >= self._began and os.getpgid(self._command) == group
        return False

    def _signal(self, number: int) -> None:
        if self._command and self._status is None:
            with contextlib.suppress(OSError):  # it has become another user's
                os.kill(self._command, number)

    def _terminate(self) -> None:
        """SIGTERM, also for a command that is stopped."""
        self._terminate_at = float("inf")
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    # ------------------------------------------------------------------ what happens by itself

    def look(self) -> None:
        """Do what is to be done now."""
        if not self._command:
            return
        reap_children(self._reap)
        if self._status is not None:
            if self._cause == "itself" and self._status == signal.SIGKILL and now() >= self._kill_at:
                self._cause = "deadline"  # its process has found that it is too late
            self._kill_everything(self._cause)
        elif now() >= self._kill_at:
            self._kill_everything("order" if self._cause == "order" else "deadline")
        elif now() >= self._terminate_at:
            self._cause = "deadline"
            self._terminate()

    def _reap(self, process: int, status: int) -> None:
        if process == self._command:
            self._status = status

    def _kill_everything(self, cause: str) -> None:
        """Kill all that is below, and say that the command has ended when there is nothing."""
        left = 0

        def reap(process: int, status: int) -> None:
            nonlocal left
            left += process != self._command
            self._reap(process, status)

        kill_all_descendants(
            lambda processes: self.say(stuck=processes), reap=reap, on_kill=lambda: self.say(killing=True)
        )
        if self._command:
            code = os.waitstatus_to_exitcode(self._status or 0)
            self._command = 0
            self.say(ended=code if code >= 0 else 128 - code, cause=cause, left=left)

    def say(self, **what: Any) -> None:
        """Tell golea."""
        with contextlib.suppress(OSError):  # golea is dead, or does not read: what is below is killed all the same
            self._orders.send(json.dumps(what).encode(), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def become(
    command: list[str], environment: dict[str, str], group: int, ignored: list[int], *, not_after: float
) -> None:
    """Become the command, in golea's process group: a terminal's Ctrl-C and Ctrl-Z reach it as they reach golea.

    :param group: 0 where there is no terminal: a group of its own.
    :param not_after: the deadline. The supervisor may have been frozen since it looked at it.
    """
    with contextlib.suppress(OSError):
        os.setpgid(0, group)
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if now() >= not_after:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        if not command[0]:  # else each directory of PATH is tried
            raise FileNotFoundError
        os.execvpe(command[0], command, {**os.environ, **environment})
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            os.write(2, os.fsencode(f"golea: cannot run {command[0]}: {_why_not(command[0], error)}\n"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _why_not(program: str, error: Exception) -> str:
    """Say why a program cannot be executed: the system's words are about one of two files."""
    if isinstance(error, FileNotFoundError):
        is_there = "/" in program and os.path.exists(program)  # noqa: PTH110  # pathlib is heavy
        if is_there:
            return "it is there, and the interpreter that its first line names is not"
        return "there is no such file" if "/" in program else "it is not found in PATH"
    return getattr(error, "strerror", None) or str(error)


def main() -> None:
    """Supervise for the golea that has started this: its process id, its pidfd, two sockets, and the command."""
    pid, pidfd, orders_number, door_number = map(int, sys.argv[1:5])
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    keep_secrets()
    came, comes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(comes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (pidfd, orders_number, door_number):
        os.set_inheritable(number, False)
    orders, door = socket.socket(fileno=orders_number), socket.socket(fileno=door_number)
    door.setblocking(False)
    os.environ.pop(GUARD_VARIABLE, None)  # golea's session is guarded here; the command's are its own affair
    supervise(Supervisor(orders, sys.argv[5:]), Program(pid, pidfd, orders, now()), door, came)


def supervise(supervisor: Supervisor, golea: Program, door: socket.socket, came: int) -> None:
    """Go on until golea is dead, or needs this no more, and nothing is left to be done."""
    guardian, alarm = SessionGuardian(supervisor), Alarm()
    assert golea.orders is not None
    supervisor.say(ready=os.getpid())
    is_needed = True
    while is_needed or guardian.programs or guardian.closing:
        alarm.set(supervisor.next_deed_at)
        guardian.watch(came, *([alarm.descriptor, door.fileno(), golea.pidfd, golea.orders.fileno()] * is_needed))
        with contextlib.suppress(BlockingIOError):
            os.read(came, 1000)
        admit(guardian, door)
        if is_needed:
            is_needed = supervisor.take_orders(golea)
            if is_needed:
                supervisor.look()
            else:
                supervisor.golea_is_dead()
        else:
            reap_children(lambda process, _: guardian.closing.discard(process))
