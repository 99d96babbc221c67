"""A plugin of coverage, which loads it in each process that it measures: what those start is measured, too.

coverage is started by a file in site-packages, and told what to do by an environment variable. The library starts its
guardians and supervisors without both: `sys.executable -I -S ...`, mostly in an empty environment. So `sys.executable`
becomes a script in place of Python, which gives them both, and runs any other Python as it is.

The process of `coverage run` itself has no such variable, and is left as it is: the tests run in others (pytest-xdist).
A process that is killed by SIGKILL writes nothing.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

PYTHON = Path(__file__).parents[2] / ".nox" / "measured" / "python"
"""The library takes no program for Python that is not called so."""
VARIABLE = "COVERAGE_PROCESS_CONFIG"

SCRIPT = """\
#!/bin/sh
# -B in place of -S: as many arguments as before, for those who look at a guardian's.
[ "$1 $2" = "-I -S" ] && {{ shift 2; set -- -I -B "$@"; export {variable}={configuration}; }}
exec {python} "$@"
"""


def coverage_init(_registry: object, _options: object) -> None:
    """Have `sys.executable` be measured; coverage calls this at the start of a process."""
    configuration = os.environ.get(VARIABLE)
    if configuration is None:
        return
    script = SCRIPT.format(
        variable=VARIABLE, configuration=shlex.quote(configuration), python=shlex.quote(sys.executable)
    )
    if not PYTHON.exists() or PYTHON.read_text() != script:
        PYTHON.parent.mkdir(parents=True, exist_ok=True)
        whole = PYTHON.with_name(str(os.getpid()))  # several processes start at once
        whole.write_text(script)
        whole.chmod(0o755)
        whole.replace(PYTHON)
    sys.executable = str(PYTHON)
