"""The statement that docs/fencing.md shows for SQLite, on PostgreSQL, where it is to be the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
Sql = Callable[[str], str]


@pytest.fixture(scope="module")
def sql() -> Iterator[Sql]:
    """Run a statement on a PostgreSQL of these tests' own, and return what it says."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda directory: float(directory.parent.name))
    # PostgreSQL does not run as root; what Debian's package installs has a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    directory = Path(tempfile.mkdtemp(prefix="golea-postgresql-"))  # a socket's path is short: pytest's are too long
    if user:
        shutil.chown(directory, "postgres")

    def run(program: str, *arguments: str) -> str:
        command = [*user, str(programs / program), *arguments]
        return subprocess.run(command, check=True, cwd=directory, stdout=subprocess.PIPE, text=True).stdout

    data = directory / "data"
    run("initdb", "--pgdata", str(data), "--auth=trust", "--no-sync")
    settings = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
    run("pg_ctl", "start", "--wait", "--silent", f"--pgdata={data}", f"--log={directory}/log", f"--options={settings}")
    try:
        yield lambda statement: run("psql", f"--host={directory}", "--command", statement, "postgres")
    finally:
        run("pg_ctl", "stop", "--silent", f"--pgdata={data}", "--mode=immediate")
        shutil.rmtree(directory)


def test_the_statement_of_the_docs_refuses_a_smaller_token(sql: Sql) -> None:
    statement = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "fencing.md").read_text(), re.DOTALL)[0]
    sql("CREATE TABLE fence (election TEXT PRIMARY KEY, token BIGINT NOT NULL)")

    def changed(token: int) -> str:
        return sql(statement.replace(":election", "'/service'").replace(":token", str(token))).strip()

    outcomes = [changed(token) for token in (33, 33, 34, 33, 2**62)]
    assert outcomes == ["INSERT 0 1", "INSERT 0 1", "INSERT 0 1", "INSERT 0 0", "INSERT 0 1"]
