"""What an application may pass to an election: time limits, and the work of run()."""

from __future__ import annotations

import asyncio
import dis
import functools
import inspect
import sys
import types
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

_Result = TypeVar("_Result")
_HOW = "run() needs a function that takes the leadership and returns an awaitable, as `async def work(leadership)` does"


def check_timeout(timeout: object, name: str = "timeout") -> None:
    """Refuse what is no time limit.

    :raises TypeError: when it is neither None nor a number.
    :raises ValueError: when it is negative or not a number.
    """
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"{name} must be None or seconds, a number, not {timeout!r}")
    if not timeout >= 0:
        raise ValueError(f"{name} must be None or seconds from 0 on, not {timeout!r}")


def check_work(work: object) -> None:
    """Refuse what cannot be the work of run(), before anybody leads: it would fail at a failover, in production.

    A plain function may return an awaitable, so only what certainly returns none is refused.

    :raises TypeError: when it is no callable, takes other arguments, or certainly returns nothing to be awaited.
    """
    if inspect.iscoroutine(work):
        work.close()  # else Python warns that it was never awaited
        raise TypeError(f"{_HOW}: pass the function itself, not {work.__qualname__}(...)")
    if not callable(work):
        raise TypeError(f"{_HOW}, not {work!r}")
    try:
        # A decorator may add arguments, so what it has wrapped does not count.
        inspect.signature(work, follow_wrapped=False).bind(None)
    except TypeError as error:
        raise TypeError(f"{_HOW}; {_name(work)} cannot be called with one argument: {error}") from None
    except ValueError:
        pass  # its signature is not known
    if not _may_return_an_awaitable(work):
        raise TypeError(f"{_HOW}; {_name(work)} returns nothing that can be awaited: make it an `async def`")


def check_awaitable(returned: Awaitable[_Result], work: object) -> Awaitable[_Result]:
    """Return what the work has returned, if it can be awaited.

    :raises TypeError: when it cannot.
    """
    if not inspect.isawaitable(returned):
        raise TypeError(f"{_HOW}; {_name(work)} has returned {returned!r}: make it an `async def`")
    return returned


def _name(work: object) -> str:
    return getattr(work, "__qualname__", None) or repr(work)


def _is_marked(work: object) -> bool:
    """Return whether this is marked as a coroutine function, as mocks are; since Python 3.12 inspect knows the mark."""
    return sys.version_info < (3, 12) and asyncio.iscoroutinefunction(work)


def _may_return_an_awaitable(work: Callable[..., Any]) -> bool:
    """Whether a call may return an awaitable; True in doubt."""
    while isinstance(work, functools.partial):
        work = work.func
    if inspect.iscoroutinefunction(work) or _is_marked(work):
        return True
    if isinstance(work, type):
        return _instances_may_be_awaited(work)
    if isinstance(work, types.BuiltinFunctionType):
        return not _is_of_the_standard_library(work)
    function = work.__func__ if isinstance(work, types.MethodType) else work
    if isinstance(function, types.FunctionType):
        return _function_may_return_an_awaitable(function)
    call = inspect.getattr_static(type(work), "__call__")
    return not isinstance(call, types.FunctionType) or _function_may_return_an_awaitable(call)


def _instances_may_be_awaited(work: type) -> bool:
    """Whether calling a class may make an awaitable: a metaclass, or `__new__`, may make anything."""
    makes_instances = type(work) is type and inspect.getattr_static(work, "__new__") is object.__dict__["__new__"]
    return not makes_instances or hasattr(work, "__await__")


def _is_of_the_standard_library(work: types.BuiltinFunctionType) -> bool:
    owner = work.__self__
    module = owner.__name__ if isinstance(owner, types.ModuleType) else type(owner).__module__
    return module.partition(".")[0] in sys.stdlib_module_names and not inspect.isasyncgen(owner)


def _function_may_return_an_awaitable(function: types.FunctionType) -> bool:
    if inspect.iscoroutinefunction(function) or function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE:
        return True
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return False
    if _returns_constants(function):
        return False
    return hasattr(function, "__wrapped__") or _annotation_may_be_awaited(function)


def _returns_constants(function: types.FunctionType) -> bool:
    """Whether each of its `return` statements, and its end, returns a constant, such as None."""
    instructions = list(dis.get_instructions(function))
    before = {after.offset: instruction for instruction, after in pairwise(instructions)}
    returns = [instruction for instruction in instructions if instruction.opname == "RETURN_VALUE"]
    return all(
        before[each.offset].opname in ("LOAD_CONST", "LOAD_SMALL_INT") and not each.is_jump_target for each in returns
    )


def _annotation_may_be_awaited(function: types.FunctionType) -> bool:
    """Whether an instance of what the function is annotated to return may be awaited: a subclass of `object` may."""
    try:
        annotation = get_type_hints(function).get("return", object)
    except Exception:  # noqa: BLE001  # an annotation may be anything
        return True
    is_of_python = isinstance(annotation, type) and annotation.__module__ == "builtins" and annotation is not object
    return not is_of_python or hasattr(annotation, "__await__")
