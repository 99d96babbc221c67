# What applications touch of aiozk 0.32, which has no types: the client, and what goes into and out of its calls.
# `nox -s lint` holds it to what is installed.

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Self

__version__: str
version_info: list[str]

class _ID:
    scheme: str
    id: str
    def __init__(self, scheme: str, id: str) -> None: ...

class ACL:
    READ_PERM: ClassVar[int]
    WRITE_PERM: ClassVar[int]
    CREATE_PERM: ClassVar[int]
    DELETE_PERM: ClassVar[int]
    ADMIN_PERM: ClassVar[int]
    perms: int
    id: _ID
    def __init__(self, *, perms: int = ..., id: _ID = ...) -> None: ...
    @classmethod
    def make(
        cls,
        scheme: str,
        id: str,
        read: bool = False,
        write: bool = False,
        create: bool = False,
        delete: bool = False,
        admin: bool = False,
    ) -> Self: ...
    def set_perms(self, read: bool, write: bool, create: bool, delete: bool, admin: bool) -> None: ...

class _Stat:
    created_zxid: int
    last_modified_zxid: int
    created: int
    modified: int
    version: int
    child_version: int
    acl_version: int
    ephemeral_owner: int
    data_length: int
    num_children: int
    last_modified_children: int

class _ResponseMeta(type): ...

class WatchEvent(metaclass=_ResponseMeta):
    CREATED: ClassVar[int]
    DELETED: ClassVar[int]
    DATA_CHANGED: ClassVar[int]
    CHILDREN_CHANGED: ClassVar[int]
    DISCONNECTED: ClassVar[int]
    CONNECTED: ClassVar[int]
    AUTH_FAILED: ClassVar[int]
    CONNECTED_READ_ONLY: ClassVar[int]
    SASL_AUTHENTICATED: ClassVar[int]
    SESSION_EXPIRED: ClassVar[int]
    type: int
    state: int
    path: str

class RetryPolicy:
    try_limit: int | None
    sleep_func: Callable[[list[float]], float | None]
    timings: dict[int, list[float]]
    def __init__(self, try_limit: int | None, sleep_func: Callable[[list[float]], float | None]) -> None: ...
    async def enforce(self, request: Any = None) -> None: ...
    def clear(self, request: Any) -> None: ...
    @classmethod
    def once(cls) -> Self: ...
    @classmethod
    def n_times(cls, n: int) -> Self: ...
    @classmethod
    def forever(cls) -> Self: ...
    @classmethod
    def exponential_backoff(cls, base: float = 2, maximum: float | None = None) -> Self: ...
    @classmethod
    def until_elapsed(cls, timeout: float) -> Self: ...

class Deadline:
    deadline: float | None
    def __init__(self, timeout: float | None) -> None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def has_passed(self) -> bool: ...
    @property
    def is_indefinite(self) -> bool: ...

class _Result:
    checked: set[str]
    created: set[str]
    updated: set[str]
    deleted: set[str]
    def __bool__(self) -> bool: ...

class _Transaction:
    client: ZKClient
    request: Any
    def __init__(self, client: ZKClient) -> None: ...
    def check_version(self, path: str, version: int) -> None: ...
    def create(
        self,
        path: str,
        data: str | bytes | None = None,
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequential: bool = False,
        container: bool = False,
    ) -> None: ...
    def set_data(self, path: str, data: str | bytes | None, version: int = -1) -> None: ...
    def delete(self, path: str, version: int = -1) -> None: ...
    async def commit(self) -> _Result: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

class _RecipeProxy:
    # Classes such as `Lock` and `Party`, to be called without the client.
    def __getattr__(self, name: str) -> Callable[..., Any]: ...

class ZKClient:
    chroot: str | None
    session: Any
    default_acl: Sequence[ACL]
    stat_cache: dict[str, Any]
    recipes: _RecipeProxy
    def __init__(
        self,
        servers: str,
        chroot: str | None = None,
        session_timeout: float = 10,
        default_acl: Sequence[ACL] | None = None,
        retry_policy: RetryPolicy | None = None,
        allow_read_only: bool = False,
        read_timeout: float | None = None,
    ) -> None: ...
    def normalize_path(self, path: str) -> str: ...
    def denormalize_path(self, path: str) -> str: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    @property
    def features(self) -> Any: ...
    async def send(self, request: Any) -> Any: ...
    def wait_for_events(self, event_types: Iterable[int], path: str) -> asyncio.Future[None]: ...
    async def exists(self, path: str, watch: bool = False) -> bool: ...
    async def create(
        self,
        path: str,
        data: str | bytes | None = None,
        acl: Sequence[ACL] | None = None,
        ephemeral: bool = False,
        sequential: bool = False,
        container: bool = False,
    ) -> str: ...
    async def ensure_path(self, path: str, acl: Sequence[ACL] | None = None) -> None: ...
    async def delete(self, path: str, force: bool = False) -> None: ...
    async def deleteall(self, path: str) -> None: ...
    async def get(self, path: str, watch: bool = False) -> tuple[bytes, _Stat]: ...
    async def get_data(self, path: str, watch: bool = False) -> bytes: ...
    async def set(self, path: str, data: str | bytes | None, version: int) -> _Stat: ...
    async def set_data(self, path: str, data: str | bytes | None, force: bool = False) -> None: ...
    async def get_children(self, path: str, watch: bool = False) -> list[str]: ...
    async def get_acl(self, path: str) -> list[ACL]: ...
    async def set_acl(self, path: str, acl: Sequence[ACL], force: bool = False) -> None: ...
    def begin_transaction(self) -> _Transaction: ...

# What is not declared here is as it was without these stubs: of any type.
def __getattr__(name: str) -> Any: ...
