"""BERT checkpoints of the hub, for which small servers stand in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bert_checkpoints import save_checkpoint
from hub_servers import model_server, refusing_server, silent_server

from network.checkpoints.hub_checkpoints import is_hub_id

PROGRAM = Path(__file__).parent / "programs" / "download_checkpoint.py"
NAME = "owner/bert-base"


def download(cache, address, name=NAME, **variables):
    """Run the download in a process of its own, because the library reads the address of the hub once."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_HOME": str(cache), "HF_ENDPOINT": address} | variables
    return subprocess.run(
        [sys.executable, PROGRAM, name], capture_output=True, text=True, encoding="utf-8", env=environment
    )


@pytest.fixture
def model(tmp_path):
    folder = save_checkpoint(tmp_path / "model")
    (folder / "pytorch_model.bin").write_bytes(b"the same weights again")
    (folder / "tf_model.h5").write_bytes(b"and again")
    return folder


def test_only_one_kind_of_weights_is_downloaded_and_later_used_offline(tmp_path, model):
    cache = tmp_path / "cache"
    with model_server(NAME, model) as (address, requests):
        finished = download(cache, address)
    assert (finished.returncode, finished.stderr.count("Traceback")) == (0, 0), finished.stderr
    folder = Path(finished.stdout.strip())
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "vocab.txt"}
    for path in folder.iterdir():
        assert path.read_bytes() == (model / path.name).read_bytes()
    assert not any(request.endswith((".bin", ".h5")) for request in requests)

    with silent_server(resets=True) as (address, _):
        again = download(cache, address)
    assert (again.returncode, again.stdout) == (0, finished.stdout), again.stderr
    assert "the hub could not be reached: using the copy of owner/bert-base downloaded earlier" in again.stderr


@pytest.mark.parametrize("variables", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_a_hub_out_of_reach_is_one_error(tmp_path, variables):
    with silent_server(resets=True) as (address, _):
        finished = download(tmp_path, address, **variables)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert (
        f"{NAME}: no such file or folder, and the Hugging Face hub could not be reached at {address}" in finished.stderr
    )
    assert "set HF_ENDPOINT to a mirror" in finished.stderr and "Traceback" not in finished.stderr


def test_a_model_that_the_hub_does_not_have_is_one_error(tmp_path):
    with refusing_server(404, "RepoNotFound") as (address, _):
        finished = download(tmp_path, address)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert f"{NAME}: no such file or folder, and the Hugging Face hub does not provide this model" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("name", "expected"), [("bert-base-chinese", True), ("a/b.c", True), ("a/b/c", False), ("", False), ("a b", False)]
)
def test_what_may_be_a_hub_id(name, expected):
    assert is_hub_id(name) == expected
