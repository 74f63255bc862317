"""The models and the file that they live in. Knows no training."""

from system.libraries import disable_telemetry

disable_telemetry()  # before a file of this room loads Keras
