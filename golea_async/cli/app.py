"""Which commands there are. Each is loaded when it is called: ``golea --help`` loads none of them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import cyclopts
from cyclopts import App, Group, Parameter

import golea_async

from .exits import Exit, Problem

if TYPE_CHECKING:
    from rich.console import Console

ABOUT = """\
Leader election on ZooKeeper: see who leads, hand over, run a program while leading.

Where ZooKeeper is: --hosts, or GOLEA_HOSTS in the environment (127.0.0.1:2181 otherwise).
Try it without a ZooKeeper: golea demo. What a command does: golea COMMAND --help."""

COMMANDS = {
    "Look": {
        "status": ("looking:status", "Say who leads, who follows, and what is in the way."),
        "watch": ("looking:watch", "Follow an election: a live table in a terminal, lines in a pipe."),
        "doctor": ("doctor:doctor", "Find out what is wrong with a ZooKeeper, or with an election."),
    },
    "Run": {
        "run": ("run:run", "Run a command while leading: it is dead before anybody else leads."),
        "guard": ("guard:guard", "Run a program, and close its sessions when it is killed: for containers."),
    },
    "Change": {
        "create": ("changing:create", "Make an election."),
        "transfer": ("transferring:transfer", "Have somebody else lead: work is stopped first."),
        "depose": ("changing:depose_candidate", "Remove one candidate."),
        "end": ("changing:end", "End an election for everybody; its node stays, to be used again."),
        "delete": ("changing:delete", "End an election for everybody, and delete its node."),
    },
    "Develop": {
        "server": ("server:server", "Serve a ZooKeeper for development."),
        "demo": ("demo:demo", "Watch five processes elect leaders and lose them."),
    },
}
"""By group: the module and function of each, and what it does."""

_LOST_OUTPUT = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What writing a result can fail with: nothing else is written to a file, and what the network does has other words."""

STYLES = {
    "cyclopts.name": "bold",
    "cyclopts.choices": "dim",
    "cyclopts.default": "dim",
    "cyclopts.env_var": "dim",
    "markdown.code": "bold",
}
"""Of the help. Cyclopts' own cyan, and Rich's black boxes, are hard to read on a light background."""


def make_app(wanted: str = "") -> App:
    """Return the application.

    :param wanted: the command that is going to be called: it is loaded, with its own help.
    """
    app = App(
        name="golea",
        help=ABOUT,
        help_format="plaintext",
        version=golea_async.__version__,
        version_flags=["--version"],
        help_flags=["--help", "-h"],
        default_parameter=Parameter(show_default=False),
        end_of_options_delimiter="--",
    )
    for order, (group, commands) in enumerate(COMMANDS.items()):
        shown = Group(group, sort_key=order)
        for name, (function, purpose) in commands.items():
            module, _, attribute = function.partition(":")
            if name == wanted:
                command = getattr(import_module(f".{module}", __package__), attribute)
                app.command(command, name=name, group=shown, help_format="markdown")
            else:
                app.command(f"{__package__}.{function}", name=name, help=purpose, group=shown)
    app.register_install_completion_command(
        help="Install completion for your shell (bash, zsh, fish).", group=Group("More", sort_key=9)
    )
    return app


def run_app(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. A message is on standard error, in one place for all commands."""
    for name in [name for name, value in os.environ.items() if name.startswith("GOLEA_") and not value]:
        del os.environ[name]  # as unset
    try:
        app = make_app(arguments[0] if arguments else "")
        if not arguments or not {"--help", "-h"}.isdisjoint(arguments):
            app.console = _console_of_help()
        result = app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return int(result or 0)
    except cyclopts.CycloptsError as error:
        return complain(f"{_text(error)}\nSee: {_help_for(arguments)}", Exit.USAGE)
    except Problem as problem:
        return complain(str(problem), problem.code)
    except KeyboardInterrupt:
        return complain("interrupted", 128 + 2)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _LOST_OUTPUT:
            return _without_output(error)
        if os.environ.get("GOLEA_DEBUG"):
            raise
        return complain(
            f"a bug in golea: {type(error).__name__}: {error}\nGOLEA_DEBUG=1 shows where; please report it.", Exit.BUG
        )


def _without_output(error: OSError) -> int:
    """Say that the result cannot be written; return the exit code."""
    # At its end Python flushes what is left, which must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.errno == errno.EPIPE:
        return 128 + 13  # whoever read has enough, as `head` has
    return complain(f"cannot write to standard output: {error.strerror}", Exit.OUTPUT)


def _console_of_help() -> Console:
    from rich.console import Console  # noqa: PLC0415
    from rich.theme import Theme  # noqa: PLC0415

    return Console(theme=Theme(STYLES))


def complain(text: str, code: int) -> int:
    """Say what is wrong, and return the exit code."""
    from .output import aside, printable, settle  # noqa: PLC0415

    aside("golea: " + printable(text, keep="\n") + "\n")
    settle()
    return int(code)


def _text(error: cyclopts.CycloptsError) -> str:
    """Return Cyclopts' words in one paragraph."""
    return " ".join(str(error).split())


def _help_for(arguments: Sequence[str]) -> str:
    named = [argument for argument in arguments[:1] if any(argument in each for each in COMMANDS.values())]
    return " ".join(["golea", *named, "--help"])
