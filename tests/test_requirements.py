"""The requirement files bound what is installed, and the lock files fix it by hashes."""

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.name for path in ROOT.glob("requirements*.txt"))
LOCKED = sorted(path.stem for path in ROOT.glob("requirements*.lock"))
BOUNDED = ("~=", "==", "<", "<=")


def requirements_in(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    wanted = (line.partition("#")[0].strip() for line in lines)
    return [Requirement(line) for line in wanted if line and not line.startswith("-r ")]


def locked_in(name):
    """Return the entries of a lock file: the requirement and its hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / f"{name}.lock").read_text(encoding="utf-8"))
    parts = [entry.split(" \\\n    --hash=") for entry in entries if not entry.startswith("#")]
    return [(Requirement(first), [each.strip() for each in hashes]) for first, *hashes in parts]


def test_two_files_are_locked():
    assert LOCKED == ["requirements", "requirements-serve"]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_has_an_upper_bound(name):
    for requirement in requirements_in(name):
        assert any(each.operator in BOUNDED for each in requirement.specifier), requirement


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_file_has_a_version_and_hashes_for_every_package(name):
    for requirement, hashes in locked_in(name):
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_file_satisfies_its_requirement_file(name, python):
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    versions = {}
    for requirement, _ in locked_in(name):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            versions[canonicalize_name(requirement.name)] = next(iter(requirement.specifier)).version
    for wanted in requirements_in(f"{name}.txt"):
        assert versions[canonicalize_name(wanted.name)] in wanted.specifier, wanted
