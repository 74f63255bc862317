"""The training of the models: from integers to weights."""

from system.libraries import disable_telemetry

disable_telemetry()  # before a file of this room loads Keras
