"""The rooms of the house: who may import whom, and how much a room holds, as DESIGN.md lays it down."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("pretrain", "fine_tuning", "application", "model")
ROOMS = (
    "system",
    "text",
    "text/tables",
    "text/tokens",
    "network",
    "training",
    "training/engine",
    "evaluation",
    "evaluation/report",
    "serving",
    "serving/runtimes",
    "serving/explanation",
    "serving/scoring",
    "serving/export",
    "recipes",
)
BACKENDS = ("keras", "tensorflow", "jax", "torch")
# A script that trains knows whole runs, and of training the plans alone.
NO_PART_OF_A_RECIPE = (
    "evaluation",
    "serving",
    *(f"training.{path.stem}" for path in (ROOT / "training").iterdir() if path.stem not in ("plans", "__init__")),
)
# What each room or file must not import, anywhere in its files, inside functions either.
NEVER_IMPORTS = {
    "system": ("layers", "text", "network", "training", "evaluation", "serving", "recipes", "numpy", *BACKENDS),
    "text": ("layers", "network", "training", "evaluation", "serving", "recipes", *BACKENDS),
    "network": ("training", "evaluation", "serving", "recipes"),
    "training": ("evaluation", "serving", "recipes"),
    "evaluation": ("layers", "network", "training", "serving", "recipes", *BACKENDS),
    "serving": ("training", "evaluation", "recipes"),
    "application.py": ("training", "evaluation", "recipes"),
    "pretrain.py": NO_PART_OF_A_RECIPE,
    "fine_tuning.py": NO_PART_OF_A_RECIPE,
    "model.py": NO_PART_OF_A_RECIPE,
}
MOST_LINES = 320
HEAVY = ("keras", "tensorflow", "jax", "torch", "transformers", "datasets", "matplotlib", "sklearn")


def project_files():
    places = (ROOT, *(ROOT / room for room in ROOMS), ROOT / "benchmarks")
    return sorted(path for place in places for path in place.glob("*.py"))


def imports(path, tree=None):
    """The dotted names that a file imports, and `from a import b` as `a.b`, wherever in the file they stand."""
    names = set()
    for node in ast.walk(tree or ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def top_level_imports(path):
    """Those that importing the file carries out: not the ones inside of functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    class WithoutFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return ast.Pass()

        visit_AsyncFunctionDef = visit_FunctionDef

    return imports(path, WithoutFunctions().visit(tree))


def among(names, modules):
    """Those of `names` that are one of `modules` or lie inside of one."""
    return sorted(name for name in names for module in modules if f"{name}.".startswith(f"{module}."))


def test_the_reading_of_imports_sees_them():
    """What follows would pass on an empty list."""
    assert len(project_files()) > 25
    assert "system.command_line.exits_with_status" in imports(ROOT / "model.py")
    assert "recipes.fine_tuning.train_basic" in imports(ROOT / "model.py")
    assert "recipes.fine_tuning.train_basic" not in top_level_imports(ROOT / "model.py")
    assert among({"text", "text.tables.rows", "textwrap", "model.text"}, ["text"]) == ["text", "text.tables.rows"]


@pytest.mark.parametrize("path", project_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_imports_a_script(path):
    assert among(imports(path), SCRIPTS) == []


@pytest.mark.parametrize("place", NEVER_IMPORTS)
def test_the_arrows_never_turn_back(place):
    files = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
    assert files
    found = {path.relative_to(ROOT).as_posix(): among(imports(path), NEVER_IMPORTS[place]) for path in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_layers_stand_on_keras_alone():
    assert {name.split(".")[0] for name in imports(ROOT / "layers.py")} == {"keras"}


@pytest.mark.parametrize("path", sorted((ROOT / "training").rglob("*.py")), ids=lambda path: path.name)
def test_training_parses_no_arguments(path):
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    called = {getattr(function, "attr", getattr(function, "id", None)) for function in calls}
    assert called & {"ArgumentParser", "add_argument", "parse_args", "parse_known_args"} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_two_to_eight_files(room):
    files = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    assert 2 <= len(files) <= 8, sorted(files)


def test_the_root_holds_the_scripts_and_the_network():
    assert {path.stem for path in ROOT.glob("*.py")} == {"layers", *SCRIPTS}


@pytest.mark.parametrize("path", project_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", project_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


HELP = """
import json, runpy, sys
sys.path.insert(0, ".")
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    print(json.dumps({"status": end.code, "modules": sorted(sys.modules)}))
"""


@pytest.mark.parametrize("script", ["pretrain", "fine_tuning", "application", "model"])
def test_help_waits_for_no_heavy_import(script):
    assert among(top_level_imports(ROOT / f"{script}.py"), HEAVY) == []
    run = subprocess.run(
        [sys.executable, "-c", HELP, f"{script}.py"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout.startswith(f"usage: {script}.py") and run.stderr == ""
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["status"] == 0
    assert "system.command_line" in result["modules"]
    assert among(result["modules"], HEAVY) == []


@pytest.mark.parametrize("script", ["pretrain", "fine_tuning", "model"])
def test_a_script_only_parses_and_calls(script):
    tree = ast.parse((ROOT / f"{script}.py").read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert main.end_lineno - main.lineno < 20


@pytest.mark.parametrize("room", ["system", "recipes"])
def test_no_function_is_too_long(room):
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{path.name}: {node.name}"


def test_all_commands_take_exact_names():
    """By the parser of `system.command_line`: argparse's own takes any beginning of an option."""
    users = [path.name for path in project_files() if "ArgumentParser(" in path.read_text(encoding="utf-8")]
    assert users == []
