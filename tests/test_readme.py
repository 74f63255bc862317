"""The two READMEs and docs/: the same commands in both languages, accepted by the scripts, with real output."""

import ast
import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import pretrain
from system.command_line import parse_plan
from training.engine.distribution.processes import VARIABLES

ROOT = Path(__file__).resolve().parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
REPRODUCE = ROOT / "docs" / "REPRODUCE.md"


def code_blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands():
    """Yield the commands that call a script or a module of this project."""
    for path in (READMES[0], REPRODUCE):
        for block in code_blocks(path, "bash"):
            for line in block.splitlines():
                yield from (part for part in line.split(" && ") if re.match(r"python (\w+\.py|-m \w+\.)", part))


@pytest.mark.parametrize("language", ["bash", "python", "text"])
def test_both_readmes_show_the_same_code(language):
    english, chinese = (code_blocks(path, language) for path in READMES)
    assert english == chinese
    assert english


@pytest.mark.parametrize("command", list(commands()))
def test_the_options_shown_are_accepted(command):
    words = shlex.split(command)[1:]
    name = words[1] if words[0] == "-m" else words[0].removesuffix(".py")
    arguments = words[2:] if words[0] == "-m" else words[1:]
    is_package = (ROOT / name.replace(".", "/")).is_dir()
    module = importlib.import_module(f"{name}.__main__" if is_package else name)
    if hasattr(module, "PLAN"):
        parse_plan(module.build_parser(), module.PLAN, arguments)
    else:
        module.build_parser().parse_args(arguments)


@pytest.mark.parametrize("path", [*READMES, *sorted(REPRODUCE.parent.glob("*.md"))], ids=lambda path: path.name)
def test_no_placeholder_is_left(path):
    assert "@@" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_linked_files_exist(path):
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert links and all((ROOT / link).exists() for link in links if not link.startswith("http"))


@pytest.mark.parametrize("path", [*READMES, *sorted(REPRODUCE.parent.glob("*.md"))], ids=lambda path: path.name)
def test_named_code_exists(path):
    named = re.findall(r"`([\w/]+/\w+\.(?:py|json))`", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", [READMES[0], *sorted(REPRODUCE.parent.glob("*.md"))], ids=lambda path: path.name)
def test_imported_names_exist(path):
    for block in code_blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_the_test_command_is_that_of_ci():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "requirements-dev.txt" in script and re.search(r"^python -m pytest$", script, re.MULTILINE)
    assert "pip install -r requirements-dev.txt && python -m pytest" in READMES[0].read_text(encoding="utf-8")


def words_and_numbers(text):
    """Return the text without its decimal numbers, and these numbers."""
    return re.split(r"\d\.\d+", text), [float(number) for number in re.findall(r"\d\.\d+", text)]


@pytest.mark.parametrize("index, options", [(0, []), (1, ["--explain"]), (5, ["--explain-windows"])])
def test_the_answers_are_those_shown(monkeypatch, capsys, index, options):
    shown = code_blocks(READMES[0], "text")[index]
    text = next(words for words in map(shlex.split, commands()) if words[2:3] == ["--text"] and words[4:] == options)[3]
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("NO_COLOR", "1")
    assert importlib.import_module("application").main(["--text", text, *options]) == 0
    words, numbers = words_and_numbers(capsys.readouterr().out)
    words_shown, numbers_shown = words_and_numbers(shown)
    assert words == words_shown
    assert numbers == pytest.approx(numbers_shown, abs=0.011)  # the last digit may differ between processors


def test_the_python_examples_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for block in code_blocks(READMES[0], "python"):
        exec(compile(block, "README.md", "exec"), {})  # a program of this project
    printed = capsys.readouterr().out
    assert "1,456,577" in printed and "正面" in printed and "负面" in printed


class TestJobs:
    """The examples of jobs in docs/SCALING.md."""

    SCALING = ROOT / "docs" / "SCALING.md"

    def scripts(self):
        """Return the shell scripts of both examples."""
        (slurm,) = code_blocks(self.SCALING, "sbatch")
        _, job = self.objects()
        return slurm, job["spec"]["template"]["spec"]["containers"][0]["args"][0]

    def objects(self):
        yaml = pytest.importorskip("yaml")
        block, _ = code_blocks(self.SCALING, "yaml")  # the second one is of Ray
        return list(yaml.safe_load_all(block))

    def test_the_scripts_have_no_syntax_error_and_known_options(self):
        for script in self.scripts():
            subprocess.run(["bash", "-n"], input=script, encoding="utf-8", check=True)
            (command,) = re.findall(r"python pretrain\.py (.*) \"", script)
            plan, _ = parse_plan(pretrain.build_parser(), pretrain.PLAN, [*shlex.split(command), "--resume"])
            assert plan.distributed

    def test_the_pods_find_each_other(self):
        service, job = self.objects()
        name, pods = job["metadata"]["name"], job["spec"]["template"]["spec"]
        assert service["spec"]["selector"] == {"job-name": name}
        assert pods["subdomain"] == service["metadata"]["name"]
        variables = {each["name"]: each.get("value") for each in pods["containers"][0]["env"]}
        assert {*VARIABLES} <= variables.keys()
        assert variables[VARIABLES[0]].startswith(f"{name}-0.{service['metadata']['name']}:")
        assert int(variables[VARIABLES[1]]) == job["spec"]["completions"] == job["spec"]["parallelism"]
        assert job["spec"]["completionMode"] == "Indexed", "else the pods have no number"
