"""What is refused before a request is sent, and in which words: an error says what was given, and what to give."""

from __future__ import annotations

import pytest

from golea_async._protocol.paths import (
    MAXIMUM_NAME_BYTES,
    MAXIMUM_PATH_BYTES,
    check_candidate_id,
    check_name,
    check_resource,
)

LONGEST = "/" + "x" * (MAXIMUM_PATH_BYTES - 1)
LONGEST_OF_TWO_BYTES = "/a" + "\u00e9" * (MAXIMUM_PATH_BYTES // 2 - 1)


@pytest.mark.parametrize(
    "path",
    [
        *("/election", "/a/b/c", "/le_0000000001", "/Stra\u00dfe", "/a b", "/..."),
        *(LONGEST, LONGEST_OF_TWO_BYTES, "/zookeepers", "/a/zookeeper"),
    ],
)
def test_a_path_that_can_be_an_election_node(path: str) -> None:
    assert check_resource(path) == path


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "it is empty"),
        ("election", "it is relative"),
        ("/", "the root is not an election"),
        ("/election/", "it ends with a slash"),
        ("//election", "it has an empty segment"),
        ("/a//b", "it has an empty segment"),
        ("/a/../b", "it has a relative segment"),
        ("/a/.", "it has a relative segment"),
        ("/..", "it has a relative segment"),
        ("/zookeeper", "/zookeeper and what is below is ZooKeeper's own"),
        ("/zookeeper/quota", "/zookeeper and what is below is ZooKeeper's own"),
        *(
            (path, "it has a character that ZooKeeper refuses (NUL, control characters, beyond 16 bits)")
            for path in ("/a\x00b", "/a\nb", "/a\ud800b", "/\U0001f600")
        ),
    ],
)
def test_a_path_that_cannot_is_refused_and_says_why(path: str, problem: str) -> None:
    with pytest.raises(ValueError, match="cannot be") as refused:
        check_resource(path)
    assert str(refused.value) == (f"{path!r} cannot be an election node: {problem}; give a path such as '/election'")


@pytest.mark.parametrize("path", [LONGEST + "x", LONGEST_OF_TWO_BYTES + "x"])
def test_of_a_path_that_is_too_long_the_beginning_is_said(path: str) -> None:
    with pytest.raises(ValueError, match="longer") as refused:
        check_resource(path)
    assert str(refused.value) == (
        f"{path[:100]!r} cannot be an election node: it is longer than 40000 bytes; give a path such as '/election'"
    )


@pytest.mark.parametrize(("path", "kind"), [(None, "NoneType"), (b"/election", "bytes"), (7, "int")])
def test_a_path_is_a_string(path: object, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^the election node's path must be a str, not {kind}$"):
        check_resource(path)


def test_a_name_is_the_data_of_the_znode() -> None:
    assert check_name("caf\u00e9:1") == "caf\u00e9:1".encode()
    assert len(check_name("x" * MAXIMUM_NAME_BYTES)) == MAXIMUM_NAME_BYTES


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "must not be empty; leave it out to get 'host:pid'"),
        (
            "\u00e9" * (MAXIMUM_NAME_BYTES // 2 + 1),
            "of 1000002 bytes is too large for a znode; 1000000 are the most",
        ),
        (
            "\ud800",
            (
                "must be encodable as UTF-8: 'utf-8' codec can't encode character '\\ud800' in position 0: "
                "surrogates not allowed"
            ),
        ),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match="name") as refused:
        check_name(name)
    assert str(refused.value) == f"a candidate's name {problem}"


@pytest.mark.parametrize(("name", "kind"), [(None, "NoneType"), (b"name", "bytes"), (7, "int")])
def test_a_name_is_a_string(name: object, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^a candidate's name must be a str, not {kind}$"):
        check_name(name)


def test_a_candidates_id_is_its_path() -> None:
    assert check_candidate_id("/a/b/le_0000000012") == ("/a/b", "le_0000000012")


@pytest.mark.parametrize(
    "candidate_id",
    ["", "le_0000000012", "/le_0000000012", "/a/le_x", "/a/DONE", "/a//le_0000000012", f"/a/{'x' * 120}"],
)
def test_another_path_is_no_candidates_id(candidate_id: str) -> None:
    with pytest.raises(ValueError, match="not a candidate's id") as refused:
        check_candidate_id(candidate_id)
    assert str(refused.value) == f"{candidate_id[:100]!r} is not a candidate's id such as '/election/le_0000000012'"


@pytest.mark.parametrize(("candidate_id", "kind"), [(12, "int"), (None, "NoneType")])
def test_a_candidates_id_is_a_string(candidate_id: object, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^a candidate's id must be a str, not {kind}$"):
        check_candidate_id(candidate_id)
