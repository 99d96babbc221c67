"""How the deeds of a plan are done to members and servers, and undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from golea_async.testing._model import OpCode

from .network import Path
from .plan import ADMINISTRATION, ENDINGS, HAND_OVERS, LATE_AND_ALONE, Deed
from .server import Server

if TYPE_CHECKING:
    from .episode import Episode
    from .member import Member

LOST_REPLIES = (OpCode.CREATE2, OpCode.DELETE, OpCode.MULTI)


class Deeds:
    """:ivar undo: what is to be done when peace comes."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._undo: dict[object, Callable[[], None]] = {}
        self._times_of_peace = 0
        self._looks: list[Callable[[], None]] = []
        self._kinds: dict[str, Callable[[Deed], None]] = {
            "freeze a member": lambda deed: self._freeze_member(self._member(deed), deed.duration),
            "kill a member": lambda deed: self._kill_member(self._member(deed), deed.duration),
            "kill it with its guardian frozen": lambda deed: self._kill_member(
                self._leading(deed), deed.duration, guardian_is_late=deed.amount
            ),
            "end its pipe to its guardian": lambda deed: self._leading(deed).end_pipe_to_guardian(),
            "cut a member off": lambda deed: self._cut(_all_paths(self._member(deed)), deed.duration),
            "cut its requests off": lambda deed: self._cut(_paths_to_servers(self._member(deed)), deed.duration),
            "cut its replies off": lambda deed: self._cut(_paths_from_servers(self._member(deed)), deed.duration),
            "cut the leading member off": lambda deed: self._cut(_all_paths(self._leading(deed)), deed.duration),
            "freeze the leading member": lambda deed: self._freeze_member(self._leading(deed), deed.duration),
            "imprison the leading member": lambda deed: self._imprison(self._leading(deed), deed.duration),
            "imprison it where it has just come": self._reset_and_imprison,
            LATE_AND_ALONE: self._come_late_and_alone,
            "reset its connections": lambda deed: _reset(self._member(deed)),
            "delay its traffic": lambda deed: self._delay(_all_paths(self._member(deed)), deed),
            "lose a reply": lambda deed: self._lose_reply(self._member(deed), LOST_REPLIES[round(deed.amount)]),
            "lose its nomination among laggards": self._lose_nomination,
            "resign": lambda deed: self._member(deed).resign(),
            "cancel who stands": lambda deed: self._member(deed).cancel(round(deed.amount)),
            "close its client": lambda deed: self._member(deed).close_client(),
            "freeze a server": lambda deed: self._freeze_server(self._server(deed), deed.duration),
            "kill a server": lambda deed: self._kill_server(self._server(deed), deed.duration),
            "kill the ensemble's leader": lambda deed: self._kill_server(self._leader(deed), deed.duration),
            "cut a server off": lambda deed: self._cut(self._paths_around(self._server(deed)), deed.duration),
            "cut the ensemble's leader off": lambda deed: self._cut(
                self._paths_around(self._leader(deed)), deed.duration
            ),
            "slow down a server's writes": lambda deed: self._delay(self._paths_from(self._follower(deed)), deed),
            "let a server lag": lambda deed: self._lag(self._server(deed), deed.amount, deed.duration),
            "step down": lambda deed: self._member(deed).step_down(),
            "hand over": lambda deed: episode.administrator.do(HAND_OVERS[round(deed.amount)]),
            "hand over and cancel": lambda deed: episode.administrator.do(
                HAND_OVERS[round(deed.amount)], cancelled_after=deed.duration + deed.start % 0.1
            ),
            "administrate": lambda deed: episode.administrator.do(ADMINISTRATION[round(deed.amount)]),
            "end it with the leading member cut off": self._end_with_it_cut_off,
            "end it with the leading member frozen": self._end_with_it_frozen,
        }

    def do(self, deed: Deed) -> None:
        self._episode.note(str(deed))
        self._kinds[deed.kind](deed)

    def make_peace(self) -> None:
        """Undo everything that is still in force, and do nothing more of what was to come."""
        self._times_of_peace += 1
        self._looks.clear()  # before processes are stepped
        for undo in list(self._undo.values()):
            undo()
        self._undo.clear()

    def look_on(self) -> None:
        """After each step of a process: what a deed waits for begins nowhere else."""
        for look in self._looks:
            self._later(0.0, look)
        self._looks.clear()

    def _until(self, duration: float, undo: Callable[[], None]) -> None:
        key = object()
        self._undo[key] = undo

        def end() -> None:
            if self._undo.pop(key, None) is not None:
                undo()

        self._episode.world.after(duration, end)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        times_of_peace = self._times_of_peace

        def strike() -> None:
            if self._times_of_peace == times_of_peace:
                act()

        self._episode.world.after(seconds, strike)

    # --- who is meant ----------------------------------------------------------------------------------------------

    def _member(self, deed: Deed) -> Member:
        return self._episode.members[deed.member]

    def _server(self, deed: Deed) -> Server:
        return self._episode.ensemble.servers[deed.server]

    def _leader(self, deed: Deed) -> Server:
        return self._episode.ensemble.leader or self._server(deed)

    def _follower(self, deed: Deed) -> Server:
        servers = self._episode.ensemble.servers
        server = self._server(deed)
        return servers[server.index - 1] if server is self._episode.ensemble.leader else server

    def _leading(self, deed: Deed) -> Member:
        """Who leads the election at this moment, else the deed's own."""
        believing = (member for member in self._episode.members if member.believing())
        return next(believing, self._member(deed))

    def _paths_around(self, server: Server) -> list[Path]:
        return [path for ends, path in self._episode.ensemble.paths.items() if server in ends]

    def _paths_from(self, server: Server) -> list[Path]:
        """Not those from the ensemble's leader: its pings keep their time, on that the lease rests (docs/lease.md)."""
        return [path for (origin, _), path in self._episode.ensemble.paths.items() if origin is server]

    # --- members ---------------------------------------------------------------------------------------------------

    def _freeze_member(self, member: Member, duration: float) -> None:
        process = member.process
        if process is None or process.is_frozen:
            return
        process.freeze()
        self._until(duration, process.thaw)

    def _kill_member(self, member: Member, duration: float, *, guardian_is_late: float = 0.0) -> None:
        member.kill(guardian_is_late=guardian_is_late)
        self._until(duration, member.start)

    def _imprison(self, member: Member, duration: float) -> None:
        """It is left with its present server, and that one is cut off from the ensemble."""
        for wire in member.wires:
            if wire.transports:
                self._cut(self._paths_around(wire.server), duration)
            else:
                self._cut(wire.paths, duration)

    def _reset_and_imprison(self, deed: Deed) -> None:
        """Only its ConnectRequest has touched the session at the ensemble's leader."""
        member = self._leading(deed)
        _reset(member)
        self._later(deed.amount, lambda: self._imprison(member, deed.duration))

    def _end_with_it_cut_off(self, deed: Deed) -> None:
        self._cut(_all_paths(self._leading(deed)), deed.duration)
        self._episode.administrator.do(ENDINGS[round(deed.amount)])

    def _end_with_it_frozen(self, deed: Deed) -> None:
        self._freeze_member(self._leading(deed), deed.duration)
        self._episode.administrator.do(ENDINGS[round(deed.amount)])

    def _come_late_and_alone(self, deed: Deed) -> None:
        """It begins anew with a ConnectReply that takes long, leads, and is alone with its server in that instant.

        All others wait for that, and then stand. Its server is a follower: with the ensemble's leader cut off, the next
        one would begin all sessions anew.
        """
        members = self._episode.members
        member = next((each for each in members[deed.member :] if each.habits.authenticates), self._member(deed))
        others = [each for each in members if each is not member]
        for each in others:
            each.retire()
        for wire in member.wires:
            wire.late_replies[OpCode.CREATE_SESSION] = deed.amount
            if wire.server is self._episode.ensemble.leader:
                self._cut(wire.paths, 2 * deed.duration)
        member.idles_next = True
        member.close_client()

        def end() -> None:
            for wire in member.wires:
                wire.late_replies.clear()
            for each in others:
                each.return_to_service()

        def look() -> None:
            if member.believing():
                self._imprison(member, deed.duration)
                end()
            else:
                self._looks.append(look)

        self._undo[object()] = end
        look()

    def _lose_reply(self, member: Member, opcode: OpCode, then: Callable[[], None] = lambda: None) -> None:
        for wire in member.wires:
            wire.lost_replies[opcode] = then

        def undo() -> None:
            for wire in member.wires:
                wire.lost_replies.clear()

        self._undo[object()] = undo

    def _lose_nomination(self, deed: Deed) -> None:
        """It retires just when its nomination is done and the reply lost; where it asks next that is not known yet."""
        member = self._member(deed)

        def retire() -> None:
            if sum(not each.is_retired for each in self._episode.members) > 2:
                member.retire()

        for wire in member.wires:
            if not wire.transports:
                self._lag(wire.server, deed.amount, deed.duration)
        self._lose_reply(member, OpCode.CREATE2, retire)
        member.resign()

    # --- the network -----------------------------------------------------------------------------------------------

    def _cut(self, paths: Iterable[Path], duration: float) -> None:
        """Nothing passes for so long. A path that is cut already is left to whoever did it."""
        cut = [path for path in paths if path.is_open]
        for path in cut:
            path.close()

        def heal() -> None:
            for path in cut:
                path.open()

        self._until(duration, heal)

    def _delay(self, paths: Iterable[Path], deed: Deed) -> None:
        delayed = [path for path in paths if not path.delay]
        for path in delayed:
            path.delay = deed.amount

        def undo() -> None:
            for path in delayed:
                path.delay = 0.0

        self._until(deed.duration, undo)

    # --- servers ---------------------------------------------------------------------------------------------------

    def _freeze_server(self, server: Server, duration: float) -> None:
        if server.is_running:
            server.freeze()
            self._until(duration, server.thaw)

    def _kill_server(self, server: Server, duration: float) -> None:
        if not server.is_dead:
            server.die()
            self._until(duration, server.live)

    def _lag(self, server: Server, delay: float, duration: float) -> None:
        """What is history reaches its clients late; it acknowledges and answers pings in time."""
        server.apply_delay = delay

        def undo() -> None:
            server.apply_delay = 0.0

        self._until(duration, undo)


def _reset(member: Member) -> None:
    for wire in member.wires:
        wire.reset()


def _all_paths(member: Member) -> list[Path]:
    return [path for wire in member.wires for path in wire.paths]


def _paths_to_servers(member: Member) -> list[Path]:
    return [wire.to_server for wire in member.wires]


def _paths_from_servers(member: Member) -> list[Path]:
    return [wire.to_client for wire in member.wires]
