"""The commands and the example of Kubernetes in docs/SCALING.md."""

import re
import shlex
from pathlib import Path

import pytest

import application

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "SCALING.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def check_command(line):
    """Check that the application accepts a command, and return its arguments."""
    words = shlex.split(line)
    assert words[0] == "python" and words[1].endswith("application.py")
    return application.build_parser().parse_args(words[2:])


def test_the_commands_are_accepted():
    lines = [line for block in blocks("bash") for line in block.splitlines() if "application.py" in line]
    assert len(lines) >= 2
    assert {check_command(line).engine for line in lines} == {"ray"}


def test_the_example_of_kubernetes_is_a_job_that_the_application_accepts():
    yaml = pytest.importorskip("yaml")
    _, block = blocks("yaml")  # the first one is of training
    job = yaml.safe_load(block)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    folder, command = job["spec"]["entrypoint"].split(" && ")
    arguments = check_command(command)
    assert arguments.engine == "ray" and arguments.resume
    cluster = job["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]["spec"]
    (mount,) = head["containers"][0]["volumeMounts"]
    assert folder == f"cd {mount['mountPath']}"
    assert [volume["name"] for volume in head["volumes"]] == [mount["name"]]
    (workers,) = cluster["workerGroupSpecs"]
    cpus = int(workers["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert arguments.actors[1] == workers["maxReplicas"] * cpus
    required = (Path(__file__).resolve().parents[1] / "requirements-scale.txt").read_text(encoding="utf-8")
    assert f"ray[data]~={cluster['rayVersion'].rpartition('.')[0]}" in required
