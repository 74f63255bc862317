"""The rooms of the house: who may import whom, and how much a room, a file and a function hold."""

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
    "benchmarks",
)
PROJECT = ("layers", *SCRIPTS, *dict.fromkeys(room.split("/")[0] for room in ROOMS))
BACKENDS = ("keras", "tensorflow", "jax", "torch")
HEAVY = (*BACKENDS, "transformers", "datasets", "matplotlib", "sklearn")
# What each room or file never imports, anywhere in its files, inside functions either.
NEVER_IMPORTS = {
    "system": (*(name for name in PROJECT if name != "system"), "numpy", *BACKENDS),
    "text": ("layers", "network", "training", "evaluation", "serving", "recipes", *BACKENDS),
    "network": ("training", "evaluation", "serving", "recipes"),
    "training": ("evaluation", "serving", "recipes"),
    "evaluation": ("layers", "network", "training", "serving", "recipes", *BACKENDS),
    "serving": ("training", "evaluation", "recipes"),
    "application.py": ("training", "evaluation", "recipes"),
    "pretrain.py": ("evaluation", "serving", "training"),
    "fine_tuning.py": ("evaluation", "serving", "training"),
    "model.py": ("evaluation", "serving", "training"),
}
# The settings of a training, from which the scripts make their options.
ALLOWED = {script: ("training.plans",) for script in ("pretrain.py", "fine_tuning.py", "model.py")}
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_MAIN = 20


def project_files(root=ROOT):
    return sorted(path for place in (".", *ROOMS) for path in (root / place).glob("*.py"))


def name_of(path, root=ROOT):
    return path.relative_to(root).as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path, tree=None, root=ROOT):
    """The dotted names that a file imports, and `from a import b` as `a.b`, wherever in the file they stand."""
    names = set()
    for node in ast.walk(tree or tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(root).parts[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def without_type_checking(tree):
    """A tree without what only names a type, which no program carries out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def top_level_imports(path):
    """Those that importing the file carries out: not the ones inside of functions."""

    class WithoutFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return ast.Pass()

        visit_AsyncFunctionDef = visit_FunctionDef

    return imports(path, WithoutFunctions().visit(without_type_checking(tree_of(path))))


def among(names, modules):
    """Those of `names` that are one of `modules` or lie inside of one."""
    return sorted(name for name in names for module in modules if f"{name}.".startswith(f"{module}."))


def arrows(files, root=ROOT):
    """The files that each file imports, by their paths from the root; what only names a type is no import."""
    modules = {name_of(path, root).removesuffix(".py").replace("/", "."): name_of(path, root) for path in files}
    found = {}
    for path in files:
        names = imports(path, without_type_checking(tree_of(path)), root)
        found[name_of(path, root)] = {
            modules[each] for name in names for each in (name, name.rpartition(".")[0]) if each in modules
        }
    return found


def circles(arrows):
    """The groups of files that import each other, in one step or in several."""

    def reached_from(start):
        reached, waiting = set(), [start]
        while waiting:
            for target in arrows[waiting.pop()] - reached:
                reached.add(target)
                waiting.append(target)
        return reached

    reached = {path: reached_from(path) for path in arrows}
    return {frozenset(other for other in reached[path] if path in reached[other]) for path in arrows} - {frozenset()}


def forbidden_arrows(root=ROOT):
    """By the name of a file, the imports that `NEVER_IMPORTS` forbids."""
    found = {}
    for place, forbidden in NEVER_IMPORTS.items():
        for path in [root / place] if place.endswith(".py") else sorted((root / place).rglob("*.py")):
            names = set(among(imports(path, root=root), forbidden))
            if names := sorted(names - set(among(names, ALLOWED.get(place, ())))):
                found[name_of(path, root)] = names
    return found


def functions(path):
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def num_lines(node):
    return node.end_lineno - node.lineno + 1


class TestReading:
    """What follows would pass on an empty list, or on a reader that overlooks something."""

    def test_of_this_house(self):
        assert len(project_files()) > 50
        assert "system.command_line.exits_with_status" in imports(ROOT / "application.py")
        assert "serving.predictor.Predictor" in imports(ROOT / "application.py")
        assert "serving.predictor.Predictor" not in top_level_imports(ROOT / "application.py")
        assert among({"text", "text.tables.rows", "textwrap", "a.text"}, ["text"]) == ["text", "text.tables.rows"]

    @pytest.fixture
    def crooked_house(self, tmp_path):
        """One with a circle of three files, one of two inside a room, and an arrow that turns back."""
        contents = {
            "application.py": "import serving.a\n",
            "pretrain.py": "from training.plans import Plan\n",
            "fine_tuning.py": "import training\n",
            "model.py": "def main():\n    from training.b import train\n",
            "training/b.py": "import serving.a as a\n",
            "serving/a.py": "import json\nfrom model import main\n",
            "text/c.py": "from .d import D\n",
            "text/d.py": "def f():\n    from text import c\n",
            "text/e.py": "if TYPE_CHECKING:\n    from text.f import F\n",
            "text/f.py": "from text.e import E\n",
        }
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        return tmp_path

    def test_circles_are_seen(self, crooked_house):
        files = project_files(crooked_house)
        assert circles(arrows(files, crooked_house)) == {
            frozenset({"model.py", "training/b.py", "serving/a.py"}),
            frozenset({"text/c.py", "text/d.py"}),
        }

    def test_forbidden_arrows_are_seen(self, crooked_house):
        assert forbidden_arrows(crooked_house) == {
            "training/b.py": ["serving.a"],
            "fine_tuning.py": ["training"],
            "model.py": ["training.b.train"],
        }


def test_no_two_files_import_each_other():
    assert circles(arrows(project_files())) == set()


def test_the_arrows_never_turn_back():
    assert forbidden_arrows() == {}


def test_layers_stand_on_keras_alone():
    assert {name.split(".")[0] for name in imports(ROOT / "layers.py")} == {"keras"}


@pytest.mark.parametrize("path", project_files(), ids=name_of)
def test_no_file_imports_a_script(path):
    assert among(imports(path), SCRIPTS) == []


@pytest.mark.parametrize("path", sorted((ROOT / "training").rglob("*.py")), ids=name_of)
def test_training_parses_no_arguments(path):
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    called = {getattr(function, "attr", getattr(function, "id", None)) for function in calls}
    assert called & {"ArgumentParser", "add_argument", "parse_args", "parse_known_args"} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_two_to_eight_things(room):
    """A room inside of a room counts as one; benchmarks apart, every room of the house is named above."""
    things = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    things |= {other.split("/")[1] for other in ROOMS if other.startswith(f"{room}/")}
    assert 2 <= len(things) <= 8, sorted(things)


def test_every_file_lies_in_a_room():
    folders = {name_of(path.parent) for path in ROOT.rglob("*.py") if not {"tests", ".venv", "venv"} & set(path.parts)}
    assert folders == {".", *ROOMS}
    assert {path.stem for path in ROOT.glob("*.py")} == {"layers", *SCRIPTS}


@pytest.mark.parametrize("path", project_files(), ids=name_of)
def test_nothing_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_FILE
    most = {function.name: num_lines(function) for function in functions(path)}
    assert {name: lines for name, lines in most.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}
    assert most.get("main", 0) <= MOST_LINES_OF_A_MAIN


@pytest.mark.parametrize("path", project_files(), ids=name_of)
def test_a_file_says_what_it_is_for(path):
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("script", ["pretrain", "fine_tuning", "application", "model"])
def test_help_waits_for_no_heavy_import(script):
    assert among(top_level_imports(ROOT / f"{script}.py"), HEAVY) == []
    command = [sys.executable, str(ROOT / "tests" / "programs" / "modules_of_script.py"), f"{script}.py", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
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
