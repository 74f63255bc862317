"""Holds some memory; prints a line, then its size in bytes. Argument: its size in MiB."""

import sys

held = b"x" * (int(sys.argv[1]) << 20)
print("first")
print(len(held))
