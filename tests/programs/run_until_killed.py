"""Own the run folder that is the only argument, until standard input ends."""

import sys

from recipes.runs.run_folder import run_in_folder

with run_in_folder({"resume": False, "dry_run": False, "epochs": 3, "run_folder": sys.argv[1]}, {}):
    print("running", flush=True)
    sys.stdin.read()
