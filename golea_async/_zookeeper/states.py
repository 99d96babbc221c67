"""The states of a session, in aiozk's state machine."""

from __future__ import annotations

import asyncio

from aiozk.states import SessionStateMachine


class SessionStates(SessionStateMachine):
    """aiozk's state machine; a cancelled wait leaves nothing behind, and the session hears of every transition."""

    def transition_to(self, state: str) -> None:
        """Change the state, from inside or outside.

        To SUSPENDED: the client connects anew within the session, to another server if there is one. To LOST: it
        gives up the session and asks for a new one.

        :raises aiozk.exc.InvalidStateTransition: the present state does not lead there.
        """
        super().transition_to(state)
        self.session.state_changed(state)

    def wait_for(self, *states: str) -> asyncio.Future[None]:
        future: asyncio.Future[None] = super().wait_for(*states)
        if not future.done():
            future.add_done_callback(lambda done: self.remove_waiting(done, *states))
        return future

    def remove_waiting(self, future: asyncio.Future[None], *states: str) -> None:
        for state in states:
            self.futures[state].discard(future)
