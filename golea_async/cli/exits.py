"""The exit codes, the same for every command.

All but the first two are those of ``sysexits.h``, so that ``golea run`` can pass on what its command exits with: hardly
a program uses them.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What an exit code says. docs/command.md has this table."""

    DONE = 0
    """It is done; somebody leads; nothing is wrong."""
    NO = 1
    """Nobody leads (`status`); something is wrong (`doctor`, `demo`); the question was answered with no."""
    USAGE = 64
    """The command line is wrong: nothing was sent."""
    UNFIT = 65
    """ZooKeeper refused, for a reason that stands in the message, such as foreign children."""
    NOT_FOUND = 66
    """There is no such election."""
    UNREACHABLE = 69
    """No ZooKeeper server answers."""
    BUG = 70
    """A bug in golea."""
    OVER = 73
    """The election is being ended or deleted, or was while its leader ran."""
    OUTPUT = 74
    """Standard output cannot be written."""
    GAVE_UP = 75
    """A time limit of yours is over (`--wait`)."""
    LOST = 76
    """Leadership was lost while the command ran, and the command is dead."""
    REFUSED = 77
    """Not authorized: an access control list, a credential, or TLS."""
    CONFIGURATION = 78
    """Something is not installed, or this system cannot do it."""
    NOT_EXECUTABLE = 126
    """The command cannot be executed."""
    NO_COMMAND = 127
    """The command is not found."""
    SIGNALLED = 128
    """And the number of a signal: golea, or the command, was ended by it (130: Ctrl-C)."""


class Problem(Exception):  # noqa: N818  # it says what a user or a network did, and is no fault of the program
    """What is to be said to the user, and the exit code.

    :param text: what happened, to which election, and the next command to type.
    """

    def __init__(self, text: str, code: Exit = Exit.UNFIT) -> None:
        super().__init__(text)
        self.code = code
