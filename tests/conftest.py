"""What several test modules need."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party data beside the repository, which not every machine has."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the third-party data beside the repository (../shared/data) is not here")
    return folder
