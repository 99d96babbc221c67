"""What can be an election node, a candidate's name and a candidate's id: bad arguments are refused before a request."""

from __future__ import annotations

import re

from .znodes import candidate_number

# The name is sent in one packet with its path and ACL, and a server drops the connection of a client whose packet is
# larger than jute.maxbuffer (1048575 bytes by default): not an error that a client could tell from a broken network.
MAXIMUM_NAME_BYTES = 1_000_000
MAXIMUM_PATH_BYTES = 40_000

_ORDINARY_PATH = re.compile("(/[A-Za-z0-9_-]+)+")
# PathUtils.java: characters that ZooKeeper refuses in a path.
_FORBIDDEN_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")


def check_resource(resource: object) -> str:
    """Return the election node's path when ZooKeeper can have one there.

    :raises TypeError: when it is not a string.
    :raises ValueError: when it is relative, empty, the root, or malformed.
    """
    if not isinstance(resource, str):
        raise TypeError(f"the election node's path must be a str, not {type(resource).__name__}")
    if problem := _path_problem(resource):
        raise ValueError(f"{resource[:100]!r} cannot be an election node: {problem}; give a path such as '/election'")
    return resource


def check_name(name: object) -> bytes:
    """Return a candidate's name as the data of its znode.

    :raises TypeError: when it is not a string.
    :raises ValueError: when it is empty, too large, or cannot be encoded.
    """
    if not isinstance(name, str):
        raise TypeError(f"a candidate's name must be a str, not {type(name).__name__}")
    if not name:
        raise ValueError("a candidate's name must not be empty; leave it out to get 'host:pid'")
    try:
        data = name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a candidate's name must be encodable as UTF-8: {error}") from None
    if len(data) > MAXIMUM_NAME_BYTES:
        raise ValueError(
            f"a candidate's name of {len(data)} bytes is too large for a znode; {MAXIMUM_NAME_BYTES} are the most"
        )
    return data


def check_candidate_id(candidate_id: object) -> tuple[str, str]:
    """Split a candidate's path into election node and name.

    :raises TypeError: when it is not a string.
    :raises ValueError: when it is not the path of a candidate.
    """
    if not isinstance(candidate_id, str):
        raise TypeError(f"a candidate's id must be a str, not {type(candidate_id).__name__}")
    resource, _, name = candidate_id.rpartition("/")
    if candidate_number(name) is None or _path_problem(resource):
        raise ValueError(f"{candidate_id[:100]!r} is not a candidate's id such as '/election/le_0000000012'")
    return resource, name


def _path_problem(path: str) -> str | None:
    if _ORDINARY_PATH.fullmatch(path) and len(path) <= MAXIMUM_PATH_BYTES and not path.startswith("/zookeeper"):
        return None
    segments = path[1:].split("/")
    problems = {
        "it is empty": not path,
        "it is relative": not path.startswith("/"),
        "the root is not an election": path == "/",
        "it ends with a slash": path.endswith("/"),
        f"it is longer than {MAXIMUM_PATH_BYTES} bytes": len(path.encode(errors="replace")) > MAXIMUM_PATH_BYTES,
        "it has an empty segment": "" in segments,
        "it has a relative segment": "." in segments or ".." in segments,
        "/zookeeper and what is below is ZooKeeper's own": segments[0] == "zookeeper",
        "it has a character that ZooKeeper refuses (NUL, control characters, beyond 16 bits)": bool(
            _FORBIDDEN_CHARACTERS.search(path)
        ),
    }
    return next((problem for problem, is_there in problems.items() if is_there), None)
