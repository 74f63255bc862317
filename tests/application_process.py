"""The application as a process of its own."""

import json
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable


def application(model, *arguments) -> list[str]:
    """Return the command that starts the application with a model."""
    return [PYTHON, str(ROOT / "application.py"), "--model", str(model), *map(str, arguments)]


def run(command, environment, **options) -> subprocess.CompletedProcess:
    """Run a command to its end, with its output as UTF-8 text."""
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", **options)


def modules_of_application(*arguments, script="application.py") -> tuple[str, set[str]]:
    """Run the application, or a copy of its script, to its end in the folder of the project.

    Returns:
        Its standard output, and the names of the modules that it loaded.
    """
    command = [PYTHON, str(ROOT / "tests" / "programs" / "modules_of_script.py"), str(script)]
    done = subprocess.run([*command, *map(str, arguments)], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    *printed, result = done.stdout.splitlines()
    assert json.loads(result)["status"] == 0
    return "\n".join(printed), set(json.loads(result)["modules"])


def accept_interrupts() -> None:
    """Accept Ctrl-C, for `preexec_fn`: a process started in the background ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
