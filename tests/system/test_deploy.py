"""The files of examples/deploy, as systemd and Kubernetes read them."""

from __future__ import annotations

import importlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from golea_async.cli.app import make_app

pytestmark = pytest.mark.system

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"
KUBERNETES = "1.30"


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    golea = Path(sys.executable).with_name("golea")
    assert golea.exists(), "the package is installed with its extra [cli]"
    unit = tmp_path / "golea-run.service"
    unit.write_text((DEPLOY / unit.name).read_text().replace("/usr/local/bin/golea", str(golea)))
    systemd = shutil.which("systemd-analyze")
    assert systemd is not None
    verify = subprocess.run([systemd, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in verify.stderr.splitlines() if unit.name in line] == []
    assert verify.returncode == 0, verify.stderr


@pytest.fixture
def kubernetes_validate() -> Any:
    return importlib.import_module("kubernetes_validate")  # installed for these tests alone


@pytest.fixture
def manifests() -> list[Any]:
    return list(importlib.import_module("yaml").safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def test_each_manifest_is_as_its_schema_says(kubernetes_validate: Any, manifests: list[Any]) -> None:
    assert {manifest["metadata"]["name"] for manifest in manifests} == {"scheduler", "migrator"}
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_a_field_that_is_none_of_the_schema_s_is_found(kubernetes_validate: Any, manifests: list[Any]) -> None:
    manifests[0]["spec"]["template"]["spec"]["containers"][0]["comand"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifests[0], KUBERNETES, strict=True)


def commands_in(manifest: Any) -> list[list[str]]:
    """What the containers of a deployment run, and what is run before one is stopped."""
    containers = manifest["spec"]["template"]["spec"]["containers"]
    hooks = [container["lifecycle"]["preStop"]["exec"] for container in containers if "lifecycle" in container]
    return [each["command"] for each in [*containers, *hooks]]


def test_golea_takes_each_command_line(manifests: list[Any]) -> None:
    unit = (DEPLOY / "golea-run.service").read_text()
    (started,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    commands = [shlex.split(started.partition("=")[2]), *(each for one in manifests for each in commands_in(one))]
    taken = set()
    for program, name, *arguments in commands:
        assert Path(program).name == "golea"
        make_app(name).parse_args([name, *arguments], exit_on_error=False, print_error=False)
        taken.add(name)
    assert taken == {"guard", "run", "transfer"}
