"""Prints whether a library, loaded after `disable_telemetry`, sends no telemetry. Argument: the library."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.libraries import disable_telemetry

disable_telemetry()
if sys.argv[1] == "huggingface_hub":
    constants = importlib.import_module("huggingface_hub.constants")
    print(constants.HF_HUB_DISABLE_TELEMETRY)
elif sys.argv[1] == "datasets":
    config = importlib.import_module("datasets.config")
    print(not config.HF_UPDATE_DOWNLOAD_COUNTS)
elif sys.argv[1] == "openvino":
    importlib.import_module("openvino.tools.ovc")
    print("openvino_telemetry.main" not in sys.modules)
elif sys.argv[1] == "ray":
    usage_lib = importlib.import_module("ray._common.usage.usage_lib")
    print(not usage_lib.usage_stats_enabled())
