"""Measure a process from the outside: its seconds and its peak memory."""
