"""The rooms of the project: who imports whom, how much they hold, and the form of docstrings, signatures and tests."""

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("pretrain", "fine_tuning", "application", "model")
ROOMS = (
    "system",
    "system/output",
    "text",
    "text/dataset",
    "text/dataset/draws",
    "text/dataset/labels",
    "text/tables",
    "text/tables/input",
    "text/packing",
    "text/tokens",
    "text/tokens/checks",
    "network",
    "network/checkpoints",
    "network/checkpoints/pytorch",
    "network/checks",
    "training",
    "training/plans",
    "training/engine",
    "training/engine/batches",
    "training/engine/distribution",
    "training/objectives",
    "evaluation",
    "evaluation/analysis",
    "evaluation/analysis/robustness",
    "evaluation/report",
    "evaluation/report/learning_curve",
    "evaluation/report/page",
    "evaluation/report/page/sections",
    "serving",
    "serving/runtimes",
    "serving/explanation",
    "serving/scoring",
    "serving/scoring/cluster",
    "serving/export",
    "serving/export/huggingface",
    "recipes",
    "recipes/report",
    "recipes/runs",
    "recipes/runs/distillation",
    "recipes/studies",
    "benchmarks",
    "benchmarks/contenders",
    "benchmarks/endurance",
    "benchmarks/hostile_files",
    "benchmarks/measuring",
)
PROJECT = ("layers", *SCRIPTS, *dict.fromkeys(room.split("/")[0] for room in ROOMS))
BACKENDS = ("keras", "tensorflow", "jax", "torch")
HEAVY = (*BACKENDS, "numpy", "transformers", "datasets", "matplotlib", "sklearn")
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
ALLOWED = {
    "pretrain.py": ("training.plans.pretraining",),
    "fine_tuning.py": ("training.plans",),
    "model.py": ("training.plans.fine_tuning",),
}
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_MAIN = 20


def project_files(root=ROOT):
    return sorted(path for place in (".", *ROOMS) for path in (root / place).glob("*.py"))


def name_of(path, root=ROOT):
    return path.relative_to(root).as_posix()


def own_tree_of(path):
    """Return the tree of a file, for a caller that changes it."""
    return ast.parse(path.read_text(encoding="utf-8"))


tree_of = functools.cache(own_tree_of)


def imports(path, tree=None, root=ROOT):
    """Return the dotted names that a file imports anywhere, `from a import b` as `a.b`."""
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
    """Return a tree without the imports that only name a type."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def top_level_imports(path):
    """Return the imports outside of functions."""

    class WithoutFunctions(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return ast.Pass()

        visit_AsyncFunctionDef = visit_FunctionDef

    return imports(path, WithoutFunctions().visit(without_type_checking(own_tree_of(path))))


def among(names, modules):
    """Return those of `names` that are one of `modules` or lie inside of one."""
    return sorted(name for name in names for module in modules if f"{name}.".startswith(f"{module}."))


def arrows(files, root=ROOT):
    """Return the files that each file imports, by their paths from the root. Imports of types alone do not count."""
    modules = {name_of(path, root).removesuffix(".py").replace("/", "."): name_of(path, root) for path in files}
    found = {}
    for path in files:
        names = imports(path, without_type_checking(own_tree_of(path)), root)
        found[name_of(path, root)] = {
            modules[each] for name in names for each in (name, name.rpartition(".")[0]) if each in modules
        }
    return found


def circles(arrows):
    """Return the groups of files that import each other, in one step or in several."""

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
    """Return the imports that `NEVER_IMPORTS` forbids, by file."""
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
    """The other tests would pass on an empty list, or with a reader that overlooks something."""

    def test_of_this_house(self):
        assert len(project_files()) > 50
        assert "system.command_line.exits_with_status" in imports(ROOT / "application.py")
        assert "serving.predictor.Predictor" in imports(ROOT / "application.py")
        assert "serving.predictor.Predictor" not in top_level_imports(ROOT / "application.py")
        assert among({"text", "text.tables.rows", "textwrap", "a.text"}, ["text"]) == ["text", "text.tables.rows"]

    @pytest.fixture
    def crooked_house(self, tmp_path):
        """A house with a circle of three files, one of two inside a room, and forbidden imports."""
        contents = {
            "application.py": "import serving.a\n",
            "pretrain.py": "from training.plans.pretraining import Plan\n",
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


def test_no_import_is_forbidden():
    assert forbidden_arrows() == {}


def test_layers_import_keras_alone():
    assert {name.split(".")[0] for name in imports(ROOT / "layers.py")} - sys.stdlib_module_names == {"keras"}


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
    """A room inside of a room counts as one."""
    things = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    things |= {other.removeprefix(f"{room}/").split("/")[0] for other in ROOMS if other.startswith(f"{room}/")}
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


def test_all_commands_accept_exact_names_alone():
    """They use the parser of `system.command_line`: argparse's own accepts any beginning of an option."""
    users = [path.name for path in project_files() if "ArgumentParser(" in path.read_text(encoding="utf-8")]
    assert users == []


WORDS_THAT_END_IN_S = ("Process", "Pass", "Express", "Compress", "Address", "Access", "Discuss", "Guess", "Focus")


def wrong_docstrings(tree):
    """Return the functions whose docstring begins with a third-person verb such as "Returns", with that word."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    documented = [node for node in functions if ast.get_docstring(node) and not is_property(node)]
    words = {node.name: ast.get_docstring(node).split()[0].strip(",.:;") for node in documented}
    return {name: word for name, word in words.items() if word.endswith("s") and word not in WORDS_THAT_END_IN_S}


def is_property(function):
    return any(ast.unparse(decorator).endswith("property") for decorator in function.decorator_list)


def missing_types(tree):
    """Return the functions with a parameter or a result without a type, with the names of these."""
    methods = {node for owner in ast.walk(tree) if isinstance(owner, ast.ClassDef) for node in owner.body}
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        positional = [*node.args.posonlyargs, *node.args.args]
        if node in methods and "staticmethod" not in {ast.unparse(decorator) for decorator in node.decorator_list}:
            positional = positional[1:]  # self or cls
        parameters = [*positional, *node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
        missing = [parameter.arg for parameter in parameters if parameter.annotation is None]
        # `__init__` can return nothing but None.
        missing += ["return"] if node.returns is None and node.name != "__init__" else []
        if missing:
            found[node.name] = missing
    return found


class TestForm:
    """The checks of docstrings and signatures, on code that breaks them."""

    def test_docstrings_of_functions(self):
        tree = ast.parse(
            'def a():\n    "Returns one."\n'
            'def b():\n    "Return two."\n'
            'def c():\n    "Process three."\n'
            "def d():\n    pass\n"
            'class E:\n    "Sizes of a network."\n    def f(self):\n        "Writes: a file."\n'
            '    @property\n    def g(self):\n        "Names of the labels."\n'
        )
        assert wrong_docstrings(tree) == {"a": "Returns", "f": "Writes"}

    def test_types_of_functions(self):
        tree = ast.parse(
            "def a(x, y: int, *z, **options: int) -> int:\n    pass\n"
            "def b(x: int, *, y=0):\n    pass\n"
            "def c() -> None:\n    lambda x: x\n    def d(x: int): pass\n"
            "class E:\n"
            "    def __init__(self, x: int): pass\n"
            "    def f(self) -> None: pass\n"
            "    @classmethod\n    def g(cls, x) -> None: pass\n"
            "    @staticmethod\n    def h(x) -> None: pass\n"
        )
        expected = {"a": ["x", "z"], "b": ["y", "return"], "d": ["return"], "g": ["x"], "h": ["x"]}
        assert missing_types(tree) == expected


@pytest.mark.parametrize("path", project_files(), ids=name_of)
def test_docstrings_of_functions_begin_with_an_imperative(path):
    assert wrong_docstrings(tree_of(path)) == {}


@pytest.mark.parametrize("path", project_files(), ids=name_of)
def test_every_signature_has_types(path):
    assert missing_types(tree_of(path)) == {}


# Those of named tuples are public; Keras has no public name for all layers inside of a layer.
NAMES_OF_LIBRARIES = ("_asdict", "_fields", "_make", "_replace", "_flatten_layers")
TESTS_OF_NO_MODULE = (
    "house",
    "readme",
    "reproduce",
    "backends",
    "benchmarks",
    "round_trip",
    "everyday",
    "bert_folder",
    "requirements",
)


def belongs_to_a_module(test_name, modules):
    """Return whether a file is `test_<module>.py` or `test_<module>_<what>.py` for one of the modules."""
    subject = test_name.removeprefix("test_")
    return any(subject == name or subject.startswith(f"{name}_") for name in (*modules, *TESTS_OF_NO_MODULE))


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in NAMES_OF_LIBRARIES


def private_names_used(tree):
    """Return the private names that a test calls, reads or patches, other than its own."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_of_self(node)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_of_self(node):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names if is_private(alias.name)}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("setattr", "delattr"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            found |= {name for text in texts for name in text.split(".") if is_private(name)}
    return sorted(found - own)


def is_of_self(node):
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def holds_a_program(tree):
    """Return whether a command is a program in a string, `-c` for Python; `/bin/sh -c` is another matter."""
    commands = (node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple))
    words = ([part.value for part in node.elts if isinstance(part, ast.Constant)] for node in commands)
    return any("-c" in constants and "/bin/sh" not in constants for constants in words)


class TestTests:
    """The checks of the tests, on names and code that break them."""

    def test_names_of_test_files(self):
        modules = ("scoring", "fine_tuning")
        good = ("test_scoring", "test_scoring_damage", "test_fine_tuning", "test_house", "test_readme")
        wrong = ("test_score", "test_fine", "test_scorings", "test_figures")
        assert all(belongs_to_a_module(name, modules) for name in good)
        assert not any(belongs_to_a_module(name, modules) for name in wrong)

    def test_private_names(self):
        tree = ast.parse(
            "from text.labels import _parse, LabelSet\n"
            "predictor._runtime = None\n"
            "plots._new_figure()\n"
            'monkeypatch.setattr(predictor, "_tokenizer", None)\n'
            'monkeypatch.setattr("serving.predictor._judge", None)\n'
            "calibration._asdict() or numpy.__version__\n"
            "class Fake:\n    def __init__(self):\n        self._own = 1\n    def f(self, other):\n        other._own\n"
        )
        assert private_names_used(tree) == ["_judge", "_new_figure", "_parse", "_runtime", "_tokenizer"]

    def test_programs_in_strings(self):
        wrong = ("[sys.executable, '-c', 'print(1)']", "(PYTHON, '-c', PROGRAM)", "measure(['-c', 'print(1)'])")
        assert all(holds_a_program(ast.parse(code)) for code in wrong)
        good = ("[sys.executable, 'program.py', '--c']", "['/bin/sh', '-c', command]", "'-c'")
        assert not any(holds_a_program(ast.parse(code)) for code in good)


def files_of_tests():
    return sorted((ROOT / "tests").glob("test_*.py"))


def files_of_tests_and_helpers():
    return sorted((ROOT / "tests").glob("*.py"))


@pytest.mark.parametrize("path", files_of_tests(), ids=name_of)
def test_a_test_file_is_named_for_a_module(path):
    inner_rooms = {room.split("/")[-1] for room in ROOMS if "/" in room}  # some are tested as one thing
    assert belongs_to_a_module(path.stem, {module.stem for module in project_files()} | inner_rooms)


@pytest.mark.parametrize("path", files_of_tests_and_helpers(), ids=name_of)
def test_no_test_is_imported(path):
    others = {other.stem for other in files_of_tests()}
    assert among({name.removeprefix("tests.") for name in imports(path)}, others) == []


@pytest.mark.parametrize("path", files_of_tests_and_helpers(), ids=name_of)
def test_no_test_uses_a_private_name(path):
    assert private_names_used(tree_of(path)) == []


@pytest.mark.parametrize("path", files_of_tests_and_helpers(), ids=name_of)
def test_no_test_holds_a_program_in_a_string(path):
    assert not holds_a_program(tree_of(path))
