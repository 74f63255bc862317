"""Prints the folder of a BERT checkpoint of the hub, or the error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from network.checkpoints.hub_checkpoints import download_checkpoint
from system.command_line import exits_with_status


@exits_with_status
def main(argv: list[str]) -> None:
    print(download_checkpoint(argv[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
