"""The prompt: in this process with a predictor that is made up, through a pipe, and typed at a pseudo-terminal."""

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from network.model_file import load_model, save_model
from serving.export.onnx_file import export_onnx
from serving.predictor import Predictor
from serving.prompt import Prompt
from system.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
PATIENCE = 60  # seconds after which a program that says nothing is taken for one that hangs
ESCAPE = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")
PASTE_ON = "\x1b[?2004h"


def command(model, *arguments):
    return [sys.executable, str(ROOT / "application.py"), "--model", str(model), *arguments]


class Recorder:
    """Stands for the answers: keeps what is asked."""

    def __init__(self, predictor):
        self.predictor, self.texts, self.problem = predictor, [], None
        self.explain = self.as_json = False

    def give(self, texts):
        self.texts += texts
        if self.problem:
            raise InputError(self.problem)


class TestCommands:
    @pytest.fixture
    def predictor(self, tiny_model):
        return Predictor(tiny_model, runtime="onnx")

    @pytest.fixture
    def talk(self, predictor, monkeypatch, capsys):
        """Says lines at a prompt; returns what it keeps and what it told, without the greeting."""

        def talk(*lines, load=None, problem=None):
            monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
            answers = Recorder(predictor)
            answers.problem = problem
            assert Prompt(answers, load).run() == 0
            captured = capsys.readouterr()
            assert captured.out == ""
            greeting, *told = captured.err.splitlines()
            assert "/help" in greeting and "exit" in greeting
            return answers, told

        return talk

    @pytest.mark.parametrize("end", ["exit", " EXIT ", "/exit", "/Exit"])
    def test_exit(self, talk, end):
        answers, told = talk("好", end, "坏")
        assert (answers.texts, told) == (["好"], [])

    def test_end_of_input(self, talk):
        assert talk("好", "exit it is not")[0].texts == ["好", "exit it is not"]

    def test_no_standard_input(self, predictor, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        assert Prompt(Recorder(predictor), None).run() == 0

    def test_ctrl_c_while_answering(self, predictor, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.StringIO("好\n"))
        answers = Recorder(predictor)
        monkeypatch.setattr(answers, "give", lambda texts: signal.raise_signal(signal.SIGINT))
        assert Prompt(answers, None).run() == 0

    def test_threshold(self, talk, predictor):
        answers, told = talk("/threshold 0.25")
        assert predictor.threshold == 0.25
        assert told == ["positive from a probability of 0.25 on"]
        talk("/THRESHOLD  auto ")
        assert predictor.threshold == 0.4  # as the file says
        assert answers.texts == []

    def test_abstain(self, talk, predictor):
        assert talk("/abstain 0.2  0.8")[1] == ["undecided between 0.2 and 0.8"]
        assert predictor.abstain == (0.2, 0.8)
        assert talk("/abstain")[1] == ["none is undecided"]
        assert predictor.abstain is None

    def test_explain_and_json(self, talk):
        for name, attribute in (("/explain", "explain"), ("/json", "as_json")):
            answers, (told,) = talk(name)
            assert getattr(answers, attribute) is True
            answers, (first, second) = talk(name, name)
            assert getattr(answers, attribute) is False
            assert first == told != second

    def test_model(self, talk, predictor, tiny_model, tmp_path):
        opened, other_model = [], tmp_path / "other.keras"
        classifier = load_model(tiny_model)
        classifier.metadata["threshold"] = 0.6
        save_model(classifier, other_model)
        export_onnx(other_model)

        def load(path):
            opened.append(path)
            return Predictor(other_model, 0.9, abstain=(0.1, 0.2), runtime="onnx")

        answers, told = talk("/model  some path.keras ", load=load)
        assert opened == ["some path.keras"]
        assert told == ["some path.keras answers from now on"]
        assert answers.predictor is not predictor
        # What was not set here is as the command line says; what was, is as it was set, for this model's own meaning.
        assert (answers.predictor.threshold, answers.predictor.abstain) == (0.9, (0.1, 0.2))
        answers, _ = talk("/threshold auto", "/abstain", "/model x", load=load)
        assert (answers.predictor.threshold, answers.predictor.abstain) == (0.6, None)

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (InputError("x: no such model file"), "x: no such model file"),
            (ModuleNotFoundError("No module named 'keras'", name="keras"), "keras is not installed"),
        ],
    )
    def test_a_model_that_cannot_be_opened(self, talk, predictor, error, words):
        def load(path):
            raise error

        answers, (told,) = talk("/model x", "好", load=load)
        assert told.startswith("error: ") and words in told
        assert answers.predictor is predictor
        assert answers.texts == ["好"]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("/", "no command /"),
            ("/treshold 0.5", "no command /treshold"),
            (" /好", "no command /好"),
            ("/threshold", "/threshold takes P|auto"),
            ("/threshold high", "not 'high'"),
            ("/threshold 0.5 0.6", "/threshold takes"),
            ("/threshold 1.5", "from 0 to 1"),
            ("/threshold nan", "from 0 to 1"),
            ("/abstain 0.5", "/abstain takes [LOW HIGH]"),
            ("/abstain 0.1 0.2 0.3", "/abstain takes"),
            ("/abstain a b", "/abstain takes"),
            ("/abstain 0.8 0.2", "a lower and a higher"),
            ("/abstain nan nan", "a lower and a higher"),
            ("/explain all", "/explain takes nothing"),
            ("/json yes", "/json takes nothing"),
            ("/help me", "/help takes nothing"),
            ("/model", "/model takes PATH"),
            ("/model ", "/model takes PATH"),
        ],
    )
    def test_what_is_no_command_is_told(self, talk, predictor, line, words):
        before = (predictor.threshold, predictor.abstain)
        answers, (told,) = talk(line, "好")
        assert told.startswith("error: ") and words in told
        assert answers.texts == ["好"]
        assert (predictor.threshold, predictor.abstain, answers.explain, answers.as_json) == (*before, False, False)

    def test_what_keeps_an_answer_back_is_told(self, talk):
        answers, told = talk("好", "坏", problem="cannot write the page")
        assert answers.texts == ["好", "坏"]
        assert told == ["error: cannot write the page"] * 2

    def test_help_is_a_table(self, talk):
        _, rows = talk("/help")
        usages, descriptions = zip(*(re.fullmatch(r"  (\S.*?)  +(\S.*)", row).groups() for row in rows), strict=True)
        assert {row.index(does, len(use)) for row, use, does in zip(rows, usages, descriptions, strict=True)} == {23}
        assert [usage.split()[0] for usage in usages] == [
            *("REVIEW", "/threshold", "/abstain", "/explain", "/json", "/model", "/help", "exit")
        ]
        assert max(map(len, rows)) < 80


class TestPipe:
    def test_each_line_is_a_review_and_only_answers_are_on_standard_output(self, tiny_model, environment):
        lines = [
            GOOD,
            "/json",
            BAD,
            "",
            "/nonsense",
            "/explain",
            GOOD,
            "/threshold 0",
            f"/model {tiny_model}",
            BAD,
            "/help",
        ]
        process = subprocess.run(
            command(tiny_model),
            input="\n".join(lines),  # the last one without an end
            env=environment | {"PYTHONUTF8": "1"},
            capture_output=True,
            encoding="utf-8",
        )
        assert process.returncode == 0
        first, *answers = process.stdout.splitlines()
        assert re.fullmatch(r"..  probability \S+  confidence \S+", first)
        answers = [json.loads(answer) for answer in answers]
        assert [answer["text"] for answer in answers] == [BAD, GOOD, BAD]
        assert ["words" in answer for answer in answers] == [False, True, True]
        assert answers[2]["label"] == "正面"  # /threshold goes for the next model as well
        assert "error: the text is empty" in process.stderr
        assert "error: there is no command /nonsense" in process.stderr
        assert f"{tiny_model} answers from now on" in process.stderr
        assert process.stderr.splitlines()[-1].startswith("  exit ")
        assert "Traceback" not in process.stderr and "\x1b" not in process.stdout and "> " not in process.stderr


class Typist:
    """A program at a pseudo-terminal, which is its standard input and error and, unless it is a pipe, its output."""

    def __init__(self, arguments, environment, output=None):
        import fcntl
        import termios

        self.terminal, own = os.openpty()

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it
            # Whoever started the tests in the background has made them, and all their children, deaf to Ctrl-C.
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        self.process = subprocess.Popen(
            arguments,
            stdin=own,
            stdout=own if output is None else output,
            stderr=own,
            env=environment,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(own)

    def read(self, until=None):
        """Returns what the program shows up to `until`, a regular expression, or up to its end."""
        shown = b""
        while until is None or not re.search(until, shown.decode(errors="replace")):
            assert select.select([self.terminal], [], [], PATIENCE)[0], f"hangs after {shown!r}"
            try:
                more = os.read(self.terminal, 65536)
            except OSError:  # what Linux says where the program has ended
                more = b""
            if not more:
                assert until is None, f"ends after {shown!r}"
                break
            shown += more
        return shown.decode()

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def interrupt(self):
        """Types Ctrl-C, again if it came just before Python began to wait for keys: Python then keeps it to itself."""
        for _ in range(PATIENCE // 2):
            self.type("\x03")
            if select.select([self.terminal], [], [], 2)[0]:
                break

    def answer(self, keys):
        """Types, and returns the JSON of the answers up to the next question."""
        self.type(keys)
        shown = self.read(r"\}\s(?s:.*)> $")
        return [json.loads(line) for line in ESCAPE.sub("", shown).splitlines() if line.strip("\r").startswith("{")]


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no pseudo-terminals")
class TestTerminal:
    @pytest.fixture
    def typist(self, tiny_model, environment):
        started = []

        def start(*arguments, output=None, **variables):
            variables = environment | {"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "INPUTRC": os.devnull} | variables
            started.append(Typist(command(tiny_model, *arguments), variables, output))
            return started[-1]

        yield start
        for one in started:
            one.process.kill()
            one.process.wait()
            os.close(one.terminal)

    def test_paste_history_and_line_editing(self, typist):
        typist = typist("--json")
        assert PASTE_ON in typist.read("> $")
        pasted = f"{GOOD}\r/json\r\r{BAD}"
        (answer,) = typist.answer(f"\x1b[200~{pasted}\r\x1b[201~\r")
        assert answer["text"] == pasted.replace("\r", "\n")
        # Arrow up brings the last review, Ctrl-A goes to its beginning.
        (answer,) = typist.answer("还行\r")
        (answer,) = typist.answer("\x1b[A\x01真的\r")
        assert answer["text"] == "真的还行"
        # Without a review there is nothing to judge.
        typist.type("\r")
        assert "error" not in typist.read("> $")
        typist.type("exit\r")
        assert "error" not in typist.read()
        assert typist.process.wait(PATIENCE) == 0

    def test_lines_that_come_faster_than_they_can_be_typed(self, typist):
        typist = typist("--json", TERM="dumb")
        assert PASTE_ON not in typist.read("> $")
        (answer,) = typist.answer(f"{GOOD}\r\r{BAD}\r")
        assert answer["text"] == f"{GOOD}\n\n{BAD}"
        # Commands are no part of a review that follows, nor is the exit word.
        (answer,) = typist.answer("/threshold 0\r/threshold 0\r好\r")
        assert (answer["text"], answer["label"]) == ("好", "正面")
        typist.type("exit\rexit\r")
        typist.read()
        assert typist.process.wait(PATIENCE) == 0

    @pytest.mark.parametrize("variables", [{}, {"TERM": "dumb"}])
    def test_reviews_typed_before_the_first_question_stay_apart(self, typist, variables):
        typist = typist("--json", **variables)
        typist.type(f"{GOOD}\r{BAD}\r好\r/json\r/json\rexit\r")
        shown = ESCAPE.sub("", typist.read())
        assert typist.process.wait(PATIENCE) == 0
        answers = [json.loads(line) for line in shown.splitlines() if line.strip("\r").startswith("{")]
        assert [answer["text"] for answer in answers] == [GOOD, BAD, "好"]

    @pytest.mark.parametrize("keys", ["", "还没写完"])
    def test_ctrl_c(self, typist, keys):
        typist = typist()
        typist.read("> $")
        typist.type(keys)
        if keys:
            typist.read(keys)  # the echo
        typist.interrupt()
        self.check_end(typist)

    def test_ctrl_d(self, typist):
        typist = typist()
        typist.read("> $")
        typist.type("\x04")
        self.check_end(typist)

    def check_end(self, typist):
        shown = typist.read()
        assert typist.process.wait(PATIENCE) == 0
        assert "Traceback" not in shown and "probability" not in shown and "Interrupt" not in shown
        assert shown.endswith("\n")

    @pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
    def test_colours(self, typist, no_color, coloured):
        typist = typist("--explain", NO_COLOR=no_color)
        typist.read("> $")
        typist.type(f"{GOOD}\r")
        shown = typist.read("towards(?s:.*)> $")
        assert ("\x1b[48;5;" in shown) is coloured
        assert bool(re.search(r"\[[+-]", shown)) is not coloured

    def test_answers_that_go_elsewhere(self, typist, tmp_path):
        with open(tmp_path / "answers.txt", "wb") as output:
            typist = typist("--explain", output=output)
            typist.read("> $")
            typist.type(f"{GOOD}\r")
            typist.read("> $")
            typist.type("/help\r")
            typist.read("exit (?s:.*)> $")
            typist.interrupt()
            typist.read()
            assert typist.process.wait(PATIENCE) == 0
        answers = (tmp_path / "answers.txt").read_text(encoding="utf-8")
        assert re.match(r"..  probability \S+  confidence \S+\n", answers)
        assert "\x1b" not in answers and "> " not in answers and "/help" not in answers
        assert answers.splitlines()[2].startswith("  towards ")
