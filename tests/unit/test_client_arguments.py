"""What a client takes as arguments, and what it says of all else."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from golea_async._protocol.paths import check_resource
from golea_async._zookeeper.host_list import Host, parse_hosts
from golea_async.client import ZKClient


@pytest.mark.parametrize(
    ("servers", "hosts"),
    [
        (" zk1 , zk2:1\n", [Host("zk1", 2181), Host("zk2", 1)]),
        ("zk1,", [Host("zk1", 2181)]),
        ("zk_1.example-x:02181", [Host("zk_1.example-x", 2181)]),
        ("münchen.example:1", [Host("münchen.example", 1)]),
        ("[fe80::1%eth0]:1", [Host("fe80::1%eth0", 1)]),
        ("fe80::1%eth0", [Host("fe80::1%eth0", 2181)]),
    ],
)
def test_hosts(servers: str, hosts: list[Host]) -> None:
    assert parse_hosts(servers) == hosts
    assert ZKClient(servers).session.hosts == hosts


@pytest.mark.parametrize(
    ("servers", "what"),
    [
        ("zk1:2181/app", r"ZKClient\('zk1:2181', chroot='/app'\)"),
        ("zk1,zk2/kafka", r"ZKClient\('zk1,zk2', chroot='/kafka'\)"),
        ("zk1:2181/", "write 'zk1:2181'"),
        ("zk1/a,zk2/a", "chroot="),
        ("/app", "chroot="),
        ("zookeeper://zk1:2181", "scheme.*leave it out"),
        ("zk://zk1:2181/app", "scheme"),
        ("ssl://zk1:2181", "ssl= for TLS"),
        ("zk1;zk2", "commas"),
        ("zk1 zk2", "commas"),
        ("zk1:2181\tzk2:2181", "commas"),
        ("zk1:", "port is missing"),
        (":2181", "name is missing"),
        ("zk1:0", "1 to 65535"),
        ("zk1:65536", "1 to 65535"),
        ("zk1:٣", "1 to 65535"),
        ("zk1:2181:3888", "host:port"),
        ("server.1=zk1:2888:3888;2181", "host:port"),
        ("zk1?x=1", "host:port"),
        ('"zk1"', "host:port"),
        ("[zk1]:2181", "IPv6"),
        ("a" * 254, "253"),
    ],
)
def test_hosts_as_others_write_them(servers: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        ZKClient(servers)


def test_a_password_among_the_hosts_is_not_shown() -> None:
    for servers in ("user:secret@zk1:2181", "redis://:secret@zk1/0"):
        with pytest.raises(ValueError, match="auth=") as caught:
            ZKClient(servers)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("servers", [None, 5, b"zk1", ["zk1", "zk2"], ("zk1", 2181), {"zk1"}])
def test_hosts_that_are_no_text(servers: Any) -> None:
    with pytest.raises(TypeError, match="host:port,host:port"):
        ZKClient(servers)


@pytest.mark.parametrize("name", ["session_timeout", "read_timeout"])
@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan, math.inf, -math.inf, 1e12, 10**400, 1e-9, 1000])
def test_seconds_that_cannot_be(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}.*seconds"):
        ZKClient("zk", **{name: value})


def test_milliseconds_are_recognized() -> None:
    with pytest.raises(ValueError, match=r"6000 milliseconds write session_timeout=6\b"):
        ZKClient("zk", session_timeout=6000)


@pytest.mark.parametrize("name", ["session_timeout", "read_timeout"])
@pytest.mark.parametrize("value", ["6", b"6", True, Decimal(6), Fraction(6), dt.timedelta(seconds=6), [6], 6j])
def test_seconds_that_are_no_number(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} takes seconds"):
        ZKClient("zk", **{name: value})


def test_no_session_timeout_is_none() -> None:
    with pytest.raises(TypeError, match="session_timeout"):
        ZKClient("zk", session_timeout=None)  # type: ignore[arg-type]
    assert ZKClient("zk", session_timeout=6, read_timeout=None).session.timeout == 6


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ({"chroot": b"/app"}, TypeError),
        ({"chroot": "/app/../x"}, ValueError),
        ({"chroot": "/a\x00"}, ValueError),
        ({"chroot": "/😀"}, ValueError),
        ({"default_acl": "world"}, TypeError),
        ({"default_acl": ["world:anyone"]}, TypeError),
        ({"default_acl": []}, ValueError),
        ({"retry_policy": 3}, TypeError),
        ({"allow_read_only": "yes"}, TypeError),
        ({"allow_read_only": None}, TypeError),
        ({"ssl": True}, TypeError),
        ({"auth": None}, TypeError),
        ({"auth": "user:password"}, TypeError),
        ({"auth": ("digest", "user:password")}, TypeError),
        ({"auth": {"digest": "user:password"}}, TypeError),
    ],
)
def test_other_arguments(argument: dict[str, Any], error: type[Exception]) -> None:
    (name,) = argument
    with pytest.raises(error, match=name) as caught:
        ZKClient("zk", **argument)
    assert "password" not in str(caught.value).replace("user:password')]", "")


@pytest.mark.parametrize("path", ["/zookeeper", "/zookeeper/config", "/zookeeper/x", "/😀", "/a/\U0010ffff", "/\uffff"])
def test_no_election_nodes(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be an election node"):
        check_resource(path)


@pytest.mark.parametrize("path", ["/zookeeper2", "/zoo", "/a/zookeeper", "/ä/漢字"])
def test_election_nodes(path: str) -> None:
    assert check_resource(path) == path
