"""Whole runs as functions: the only room that knows training, evaluation and serving together."""
