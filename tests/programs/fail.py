"""Fails. Argument: exit, for the exit status 3, or abort, for a signal."""

import os
import sys

if sys.argv[1] == "exit":
    sys.exit(3)
os.abort()
