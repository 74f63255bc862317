"""Scores whole files: rows in, the same rows with their verdicts out."""
