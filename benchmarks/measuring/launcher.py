"""Run a command and write its time and its peak memory to a file: `launcher.py REPORT COMMAND …`.

It is a small process of its own, because the reported peak memory of a process is never below that of its parent.
"""

import json
import os
import sys
import time


def main(report: str, command: list[str]) -> int:
    started = time.perf_counter()
    _, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ), 0)
    seconds = time.perf_counter() - started
    unit = 2**20 if sys.platform == "darwin" else 2**10
    with open(report, "w") as file:
        processors = usage.ru_utime + usage.ru_stime
        json.dump({"seconds": seconds, "mebibytes": usage.ru_maxrss / unit, "cpu_seconds": processors}, file)
    return min(abs(os.waitstatus_to_exitcode(status)), 255)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
