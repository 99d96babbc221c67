"""A Python that is only in Debian's next release, in a directory of its own: `python -m tests.versions.chroot`.

It needs root, `debootstrap` and the right to `chroot`; where one of them is missing it says so. What the tests need is
installed from outside, so that nothing in there needs a network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .found import Python

ROOT = Path(__file__).resolve().parents[2]
SUITE = os.environ.get("GOLEA_DEBIAN", "testing")
VERSION = "3.14"
DIRECTORY = ROOT / ".nox" / f"debian-{SUITE}"
PACKAGES = DIRECTORY / f"usr/local/lib/python{VERSION}/dist-packages"
SOURCE = DIRECTORY / "source"
INCLUDED = f"python{VERSION},libpython{VERSION}-stdlib,openssl"
INSTALLED = ("default-jre-headless", "zookeeper")  # by apt, which sees to what Java needs before it is unpacked
# What the tests look at beside files, in a mount namespace of its own: nothing is left mounted. The root must be a
# mount, so that further namespaces can be made in there.
MOUNTS = (
    "mount --bind {0} {0} && mount -t proc proc {0}/proc && mount --rbind /sys {0}/sys && mount --rbind /dev {0}/dev"
)


def is_made() -> bool:
    """Return whether the Python is there."""
    return os.geteuid() == 0 and (DIRECTORY / f"usr/bin/python{VERSION}").exists()


def hint() -> str:
    """Return how to get it."""
    return f": `python -m tests.versions.chroot` as root takes it from Debian's {SUITE}, if debootstrap is installed"


def python() -> Python:
    """Return the Python in there."""
    command = ["chroot", str(DIRECTORY), f"/usr/bin/python{VERSION}", "-V"]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    return Python(asked.stdout.split()[-1], str(DIRECTORY), chroot=True)


def inside(*arguments: str) -> list[str]:
    """Return the command that runs the Python in there, in the copy of the project."""
    script = f'cd /source && exec /usr/bin/python{VERSION} "$@"'
    return [*entered(), "/bin/sh", "-c", script, "sh", *arguments]


def entered() -> list[str]:
    """Return the command in front of another one that runs it in there."""
    script = f'{MOUNTS.format(DIRECTORY)} && exec chroot {DIRECTORY} "$@"'
    return ["unshare", "--mount", "/bin/sh", "-c", script, "sh"]


def prepare(group: list[str]) -> tuple[list[str], dict[str, str]]:
    """Copy the project and install what its tests need; return the command and the variables to set."""
    # Without it localhost has two addresses, and no server of the tests listens on ::1.
    shutil.copy2("/etc/hosts", DIRECTORY / "etc/hosts")
    shutil.rmtree(SOURCE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            target = SOURCE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    shutil.rmtree(PACKAGES, ignore_errors=True)
    # What is published as source only, and is pure Python, is built by this Python; the rest is taken for that one.
    pip = [sys.executable, "-m", "pip"]
    wheels = DIRECTORY / "wheels"
    subprocess.run([*pip, "wheel", "--quiet", "--wheel-dir", str(wheels), f"{ROOT}[cli]", *group], check=True)
    wanted = ["--python-version", VERSION, "--only-binary=:all:", "--find-links", str(wheels)]
    subprocess.run(
        [*pip, "install", "--quiet", "--target", str(PACKAGES), *wanted, "golea-async[cli]", *group], check=True
    )
    return inside(), {"PYTHONPATH": "/source", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


def missing() -> str | None:
    """Return what keeps this from being made."""
    if os.geteuid() != 0:
        return "it takes root"
    if not shutil.which("debootstrap"):
        return "debootstrap is not installed: apt-get install debootstrap"
    return None


def main() -> None:
    """Make it."""
    if problem := missing():
        sys.exit(f"No Python {VERSION} from Debian's {SUITE}: {problem}")
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.parent.mkdir(exist_ok=True)
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={INCLUDED}", SUITE, str(DIRECTORY), *mirror()], check=False
    )
    if made.returncode != 0 or not is_made():
        sys.exit(f"debootstrap could not make it; its log is {DIRECTORY}/debootstrap/debootstrap.log")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *INSTALLED]
    subprocess.run([*entered(), "env", "DEBIAN_FRONTEND=noninteractive", *install], check=True)
    print(python().version, "in", DIRECTORY)


def mirror() -> list[str]:
    """Return the address from which this machine itself gets Debian's packages."""
    lines = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=False
    )
    sites = [line for line in lines.stdout.splitlines() if re.match(r"https?://\S+/debian/?$", line)]
    return sites[:1]


if __name__ == "__main__":
    main()
