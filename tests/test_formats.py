"""Checkpoint folders: the file that is chosen, files in several parts, and folders without a checkpoint."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from torch_files import dict_operations, storage_operations, tensor_operations, zip_file

from network.checkpoints.formats import FILE_NAMES, checkpoint_file, checkpoint_files, read_tensors
from system.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
ONES = np.ones(2, np.float32)


def torch_content(name):
    body = dict_operations({name: tensor_operations(storage_operations("0", "FloatStorage", 2), (2,), (1,))})
    return zip_file(body, {"0": ONES.tobytes()})


def write_index(folder, name, weight_map):
    content = {"metadata": {"total_size": 16}, "weight_map": weight_map}
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def refused(folder):
    with pytest.raises(InputError) as caught:
        read_tensors(folder)
    return str(caught.value)


def test_the_first_of_the_known_names_is_chosen(tmp_path):
    (tmp_path / "model.ckpt-5.index").touch()
    assert checkpoint_file(tmp_path) == tmp_path / "model.ckpt-5.index"
    for name in reversed(FILE_NAMES):
        (tmp_path / name).touch()
        assert checkpoint_file(tmp_path) == tmp_path / name
    assert checkpoint_file(str(tmp_path)).name == "model.safetensors"


def test_the_files_of_one_checkpoint(tmp_path):
    parts = ["model.ckpt.data-00000-of-00002", "model.ckpt.data-00001-of-00002"]
    for name in ("model.ckpt.index", *parts, "model.ckpt.meta", "README.md"):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoint_files(tmp_path)] == ["model.ckpt.index", *parts]
    (tmp_path / "pytorch_model.bin").touch()
    assert checkpoint_files(tmp_path) == [tmp_path / "pytorch_model.bin"]


def test_several_tensorflow_checkpoints_are_refused(tmp_path):
    for step in (5, 10):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    assert "several TensorFlow checkpoints (model.ckpt-10.index, model.ckpt-5.index)" in refused(tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").mkdir()
    message = refused(tmp_path)
    assert str(tmp_path) in message and all(name in message for name in (*FILE_NAMES, "*.ckpt*.index"))


def test_what_is_not_a_folder_is_refused(tmp_path):
    (tmp_path / "a").touch()
    assert "no such folder" in refused(tmp_path / "a")
    assert "no such folder" in refused(tmp_path / "b")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_several_files(tmp_path, suffix):
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    shards = [f"{stem}-0000{number}-of-00002.{suffix}" for number in (1, 2)]
    for name, shard in zip("ab", shards, strict=True):
        content = save({name: ONES}) if suffix == "safetensors" else torch_content(name)
        (tmp_path / shard).write_bytes(content)
    write_index(tmp_path, f"{stem}.{suffix}.index.json", dict(zip("ab", shards, strict=True)))
    assert checkpoint_file(tmp_path).name == f"{stem}.{suffix}.index.json"
    assert [path.name for path in checkpoint_files(tmp_path)] == [f"{stem}.{suffix}.index.json", *shards]
    found = read_tensors(tmp_path)
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["b"], ONES)
    (tmp_path / shards[1]).unlink()
    assert f"cannot read {tmp_path / shards[1]}: No such file" in refused(tmp_path)


def test_a_tensor_that_is_not_in_its_file(tmp_path):
    (tmp_path / "1.safetensors").write_bytes(save({"a": ONES}))
    write_index(tmp_path, "model.safetensors.index.json", {"a": "1.safetensors", "b": "1.safetensors"})
    assert "1.safetensors: lacks 'b'" in refused(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "a/../../outside.safetensors",
        "/outside.safetensors",
        "C:outside.safetensors",
        "..\\outside.safetensors",
        "\\\\server\\outside.safetensors",
        "pytorch_model.bin",
        "",
        "..",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, name):
    (tmp_path / "outside.safetensors").write_bytes(save({"a": ONES}))
    folder = tmp_path / "folder"
    folder.mkdir()
    absolute = str(tmp_path / name[1:]) if name.startswith("/") else name
    write_index(folder, "model.safetensors.index.json", {"a": absolute})
    assert "which is not a .safetensors file in the folder" in refused(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b'{"weight_map": []}', b'{"weight_map": {"a": 1}}', b"\xff", b"[" * 100_000],
)
def test_a_damaged_index_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors.index.json").write_bytes(content)
    assert "model.safetensors.index.json: damaged, or not a checkpoint" in refused(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_address_of_a_file_is_no_file(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "run `git lfs pull`" in refused(tmp_path)


def test_loading_the_readers_loads_no_large_library():
    program = ROOT / "tests" / "programs" / "modules_of_import.py"
    command = [sys.executable, str(program), "network.checkpoints.formats"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    loaded = set(json.loads(run.stdout))
    assert "network.checkpoints.pytorch.torch_file" in loaded
    assert not {"keras", "tensorflow", "torch", "safetensors"} & loaded
