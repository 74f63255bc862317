"""Writes a trained classifier for other runtimes."""
