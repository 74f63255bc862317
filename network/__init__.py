"""The models and the files that contain them."""

from system.libraries import disable_telemetry

disable_telemetry()  # before a file of this room loads Keras
