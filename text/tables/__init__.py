"""Rows in and rows out, for every kind of file."""
