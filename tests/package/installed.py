"""Run with the Python of a fresh environment in which the package was installed: is it all there, and does it say so?

python -I installed.py VERSION
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module, metadata, resources
from importlib.util import find_spec
from pkgutil import walk_packages

RELATIVE_LINK = re.compile(r"\]\((?!https?://)[^)]*\)")


def main(version: str) -> None:
    """Check one thing after the other; the first that is wrong ends it with an error."""
    package = import_module("golea_async")
    assert "site-packages" in str(package.__file__), f"{package.__file__} is not what was installed"
    assert package.__version__ == metadata.version("golea-async") == version
    for name in package.__all__:
        getattr(package, name)
    assert resources.files("golea_async").joinpath("py.typed").is_file()
    check_metadata()
    check_modules()
    check_command(version)
    print(f"golea-async {version}: {len(package.__all__)} names, from {package.__file__}")


def check_command(version: str) -> None:
    """Have the command say its version; where its extra is not installed, how to install that."""
    command = [sys.executable, "-I", "-m", "golea_async", "--version"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if find_spec("cyclopts"):
        assert (done.returncode, done.stdout.strip()) == (0, version), done
    else:
        assert (done.returncode, "pip install 'golea-async[cli]'" in done.stderr) == (78, True), done


def check_metadata() -> None:
    """Look at what the package says of itself."""
    about = metadata.metadata("golea-async")
    assert about["Author"] == "The golea_async authors"
    assert not about.get_all("Project-URL"), "there is no address that could be given"
    required = [line for line in metadata.requires("golea-async") or [] if "extra ==" not in line]
    assert sorted(re.split(r"[<>=~! ]", line)[0] for line in required) == ["aiozk", "anyio"]
    description = about.json["description"]
    assert isinstance(description, str)
    assert "## What holds" in description
    assert not RELATIVE_LINK.findall(description), RELATIVE_LINK.findall(description)
    (plugin,) = metadata.entry_points(group="pytest11", name="golea_async.testing.pytest_plugin")
    assert find_spec(plugin.value)


def check_modules() -> None:
    """Import every module that needs neither pytest nor an extra."""
    package = import_module("golea_async")
    for module in walk_packages(package.__path__, "golea_async."):
        if module.name.endswith((".pytest_plugin", ".__main__")):
            continue
        try:
            import_module(module.name)
        except ModuleNotFoundError as missing:
            # A distribution's name begins with its package's: `opentelemetry-api` has `opentelemetry`.
            root = str(missing.name).partition(".")[0]
            if not any(each.startswith(root) for each in optional()):
                raise


def optional() -> set[str]:
    """Return the packages that the extras are made of."""
    lines = [line for line in metadata.requires("golea-async") or [] if "extra ==" in line]
    return {re.split(r"[<>=~! ;\[]", line)[0].replace("-", "_") for line in lines}


if __name__ == "__main__":
    main(*sys.argv[1:])
