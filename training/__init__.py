"""Training: what turns integers into weights."""

from system.libraries import disable_telemetry

disable_telemetry()  # before a file of this room loads Keras
