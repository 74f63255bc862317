"""Whole runs as functions: the only room that knows training, evaluation and serving together."""

from system.libraries import disable_telemetry

disable_telemetry()  # before a file of this room loads Keras
