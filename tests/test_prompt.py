"""Run the prompt in this process, through a pipe, and at a pseudo-terminal."""

import contextlib
import io
import json
import os
import re
import select
import signal
import subprocess
import sys

import pytest
from application_process import accept_interrupts
from application_process import application as command
from tiny_models import ASPECT_THRESHOLDS, save_with_metadata

from serving.answers import ALL_LABELS
from serving.predictor import Predictor
from serving.prompt import Prompt, Setting
from system.errors import InputError, Terminated

GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
PATIENCE = 60  # seconds until a program without output counts as hanging
ESCAPE = re.compile("\x1b\\[[0-9;?]*[a-zA-Z]")
PASTE_ON = "\x1b[?2004h"


class Recorder:
    """Answers that only record the texts."""

    def __init__(self, predictor):
        self.predictor, self.texts, self.problem = predictor, [], None
        self.explain = self.as_json = self.explain_windows = False
        self.top_k = self.explain_label = None

        self.num_pages = 0

    def write_page(self):
        self.num_pages += 1

    def answer(self, texts):
        self.texts += texts
        if self.problem:
            raise InputError(self.problem)


@pytest.fixture
def predictor(tiny_model):
    return Predictor(tiny_model, runtime="onnx")


@pytest.fixture
def talk(predictor, monkeypatch, capsys):
    """Return the function that types lines at a prompt; it returns the answers and the lines on standard error."""

    def talk(*lines, load=None, problem=None, predictor=predictor, explain_label=None, settings=None):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        answers = Recorder(predictor)
        answers.problem, answers.explain_label = problem, explain_label
        assert Prompt(answers, load, settings=settings).run() == 0
        captured = capsys.readouterr()
        assert captured.out == ""
        greeting, *printed = captured.err.splitlines()
        assert "/help" in greeting and "exit" in greeting
        return answers, printed

    return talk


class TestCommands:
    @pytest.mark.parametrize("end", ["exit", " EXIT ", "/exit", "/Exit", "/quit", " /退出"])
    def test_exit_words(self, talk, end):
        answers, printed = talk("好", end, "坏")
        assert (answers.texts, printed) == (["好"], [])

    def test_end_of_input(self, talk):
        texts = ["好", "exit it is not", "q", "不退出", "退出", "quit"]  # the last two may be texts of a file
        assert talk(*texts)[0].texts == texts

    def test_blank_lines_are_ignored(self, talk):
        answers, printed = talk("", "好", "  ", "\u3000", "坏", "")
        assert (answers.texts, printed) == (["好", "坏"], [])

    def test_no_standard_input(self, predictor, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        assert Prompt(Recorder(predictor), None).run() == 0

    def test_of_many_texts_in_a_pipe_the_page_is_written_once(self, talk):
        assert talk(*["好"] * 50)[0].num_pages == 1

    def test_sigterm_is_no_end_of_the_input(self, predictor, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.StringIO("好\n坏\n"))
        answers = Recorder(predictor)

        def end(texts):
            raise Terminated(signal.SIGTERM)

        monkeypatch.setattr(answers, "answer", end)
        with pytest.raises(Terminated):
            Prompt(answers, None).run()
        assert answers.num_pages == 1

    def test_ctrl_c_while_answering(self, predictor, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.StringIO("好\n"))
        answers = Recorder(predictor)
        monkeypatch.setattr(answers, "answer", lambda texts: signal.raise_signal(signal.SIGINT))
        assert Prompt(answers, None).run() == 0

    def test_threshold(self, talk, predictor):
        answers, printed = talk("/threshold 0.25")
        assert predictor.threshold == 0.25
        assert printed == ["positive if the probability is at least 0.25"]
        talk("/THRESHOLD  auto ")
        assert predictor.threshold == 0.4  # as the file says
        assert answers.texts == []

    def test_abstain(self, talk, predictor):
        assert talk("/abstain 0.2  0.8")[1] == ["undecided between 0.2 and 0.8"]
        assert predictor.abstain == (0.2, 0.8)
        assert talk("/abstain")[1] == ["no text is left undecided"]
        assert predictor.abstain is None

    @pytest.mark.parametrize(
        ("line", "top_k", "printed"),
        [
            ("/top 3", 3, "labels shown, the most probable first: 3"),
            ("/top  ALL ", ALL_LABELS, "all labels are shown"),
            ("/top", None, "only the predicted label is shown"),
        ],
    )
    def test_top(self, talk, line, top_k, printed):
        answers, lines = talk("/top 2", line)
        assert (answers.top_k, lines[1]) == (top_k, printed)

    @pytest.mark.parametrize(
        ("name", "attribute", "on", "off"),
        [
            ("/explain", "explain", "word marking is on", "word marking is off"),
            ("/windows", "explain_windows", "listing of windows is on", "listing of windows is off"),
            ("/json", "as_json", "predictions are printed as JSON", "predictions are printed as text"),
        ],
    )
    def test_switches(self, talk, name, attribute, on, off):
        answers, printed = talk(name)
        assert (getattr(answers, attribute), printed) == (True, [on])
        answers, printed = talk(name, name)
        assert (getattr(answers, attribute), printed) == (False, [on, off])

    def test_model(self, talk, predictor, tiny_model, tmp_path):
        opened = []
        other_model = save_with_metadata(tiny_model, tmp_path / "other.keras", {"threshold": 0.6})

        def load(path):
            opened.append(path)
            return Predictor(other_model, 0.9, abstain=(0.1, 0.2), runtime="onnx")

        answers, printed = talk("/model  some path.keras ", load=load)
        assert opened == ["some path.keras"]
        assert printed == ["using some path.keras"]
        assert answers.predictor is not predictor
        # Settings of the prompt go to the new model, and "auto" means its own threshold; the others stay.
        assert (answers.predictor.threshold, answers.predictor.abstain) == (0.9, (0.1, 0.2))
        answers, _ = talk("/threshold auto", "/abstain", "/model x", load=load)
        assert (answers.predictor.threshold, answers.predictor.abstain) == (0.6, None)

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (InputError("x: no such model file"), "x: no such model file"),
            (ModuleNotFoundError("No module named 'keras'", name="keras"), "x needs keras, which is not installed"),
        ],
    )
    def test_a_model_that_cannot_be_opened(self, talk, predictor, error, words):
        def load(path):
            raise error

        answers, (printed,) = talk("/model x", "好", load=load)
        assert printed.startswith("error: ") and words in printed
        assert answers.predictor is predictor
        assert answers.texts == ["好"]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("/", "unknown command /; /help"),
            ("/treshold 0.5", "unknown command /treshold; /help"),
            (" /好", "unknown command /好; /help"),
            ("/threshold", "/threshold expects P|auto"),
            ("/threshold high", "not 'high'"),
            ("/threshold 0.5 0.6", "/threshold expects P|auto, not '0.5 0.6'"),
            ("/threshold 1.5", "from 0 to 1"),
            ("/threshold nan", "from 0 to 1"),
            ("/abstain 0.5", "a lower and a higher number from 0 to 1, not 0.5: this model has two labels"),
            ("/abstain 0.1 0.2 0.3", "/abstain expects [LOW HIGH|P], not '0.1 0.2 0.3'"),
            ("/abstain a b", "/abstain expects"),
            ("/abstain 0.8 0.2", "a lower and a higher"),
            ("/abstain nan nan", "a lower and a higher"),
            ("/top 0", "/top expects [K|all], not '0'"),
            ("/top -1", "/top expects [K|all]"),
            ("/top 1.5", "/top expects [K|all]"),
            ("/top three", "/top expects [K|all]"),
            ("/explain all", "/explain expects no argument"),
            ("/windows 3", "/windows expects no argument"),
            ("/json yes", "/json expects no argument"),
            ("/help me", "/help expects no argument"),
            ("/model", "/model expects FILE|NAME"),
            ("/model ", "/model expects FILE|NAME"),
        ],
    )
    def test_a_wrong_command_is_an_error(self, talk, predictor, line, words):
        before = (predictor.threshold, predictor.abstain)
        answers, (printed,) = talk(line, "好")
        assert printed.startswith("error: ") and words in printed
        assert answers.texts == ["好"]
        assert (predictor.threshold, predictor.abstain, answers.explain, answers.as_json) == (*before, False, False)

    def test_an_error_does_not_end_the_prompt(self, talk):
        answers, printed = talk("好", "坏", problem="cannot write the page")
        assert answers.texts == ["好", "坏"]
        assert printed == ["error: cannot write the page"] * 2

    def test_help_is_a_table(self, talk):
        _, rows = talk("/help")
        usages, descriptions = zip(*(re.fullmatch(r"  (\S.*?)  +(\S.*)", row).groups() for row in rows), strict=True)
        columns = {row.index(help, len(usage)) for row, usage, help in zip(rows, usages, descriptions, strict=True)}
        assert columns == {25}
        assert [usage.split()[0] for usage in usages] == [
            *("TEXT", "/threshold", "/abstain", "/top", "/explain", "/windows", "/json", "/model", "/help", "exit")
        ]
        assert max(map(len, rows)) < 80
        assert "quit, 退出, Ctrl-D or Ctrl-C" in rows[-1]


class TestMoreLabels:
    @pytest.fixture
    def emotions(self, tiny_emotions):
        return Predictor(tiny_emotions, runtime="onnx")

    def test_abstain_is_one_number(self, talk, emotions):
        assert talk("/abstain 0.6", predictor=emotions)[1] == ["undecided below a confidence of 0.6"]
        assert emotions.abstain == 0.6
        assert talk("/abstain", predictor=emotions)[1] == ["no text is left undecided"]
        assert emotions.abstain is None

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("/threshold 0.5", "a threshold decides between two labels only; this model has 6"),
            ("/threshold auto", "a threshold decides between two labels only; this model has 6"),
            ("/abstain 0.3 0.7", "one number from 0 to 1, the lowest confidence, not (0.3, 0.7)"),
        ],
    )
    def test_what_needs_two_labels_is_refused(self, talk, emotions, line, words):
        answers, (printed,) = talk(line, "好", predictor=emotions)
        assert printed.startswith("error: ") and words in printed
        assert (answers.texts, emotions.threshold, emotions.abstain) == (["好"], None, None)

    def test_settings_that_do_not_suit_a_model_wait_for_the_next_one(self, talk, tiny_model, tiny_emotions):
        def load(name):
            return Predictor(tiny_model if name == "two" else tiny_emotions, runtime="onnx")

        lines = ("/threshold 0.6", "/abstain 0.2 0.3", "/model six")
        answers, printed = talk(*lines, load=load)
        assert printed[2:] == [
            "note: /threshold is not applied: a threshold decides between two labels only; this model has 6",
            "note: /abstain is not applied: abstain needs one number from 0 to 1, the lowest confidence, not "
            "(0.2, 0.3): this model has 6 labels",
            "using six",
        ]
        assert (answers.predictor.threshold, answers.predictor.abstain) == (None, None)
        answers, _ = talk(*lines, "/model two", load=load)
        assert (answers.predictor.threshold, answers.predictor.abstain) == (0.6, (0.2, 0.3))

    @pytest.mark.parametrize(
        ("settings", "notes"),
        [
            (
                {"threshold": Setting("--threshold", 0.6), "abstain": Setting("--abstain", (0.2, 0.3))},
                [
                    "note: --threshold is not applied: a threshold decides between two labels only; this model has 6",
                    "note: --abstain is not applied: abstain needs one number from 0 to 1, the lowest confidence, not "
                    "(0.2, 0.3): this model has 6 labels",
                ],
            ),
            (
                {"abstain": Setting("--abstain", 0.2), "windows": Setting("--window", {"window": 60})},
                [
                    "note: --window is not applied: a window of 60 tokens is too long: the model reads at most 16; use "
                    "a shorter window",
                ],
            ),
        ],
    )
    def test_options_that_do_not_suit_the_next_model_are_named(self, talk, emotions, settings, notes):
        answers, printed = talk("/model six", load=lambda _: emotions, settings=settings)
        assert printed == [*notes, "using six"]
        assert answers.predictor is emotions
        assert emotions.abstain == (None if "threshold" in settings else 0.2)

    def test_a_command_replaces_an_option(self, talk, tiny_model):
        settings = {"threshold": Setting("--threshold", 0.6), "windows": Setting("--aggregate", {"aggregate": "max"})}
        answers, _ = talk(
            "/threshold 0.2", "/model x", load=lambda _: Predictor(tiny_model, runtime="onnx"), settings=settings
        )
        assert (answers.predictor.threshold, answers.predictor.window_settings.aggregate) == (0.2, "max")

    def test_a_label_that_the_next_model_lacks_is_no_longer_explained(self, talk, emotions):
        answers, printed = talk("/model x", load=lambda _: emotions, explain_label="正面")
        assert answers.explain_label is None
        assert printed == ["note: x has no label '正面' to explain", "using x"]
        answers, printed = talk("/model x", load=lambda _: emotions, explain_label="愤怒")
        assert (answers.explain_label, printed) == ("愤怒", ["using x"])


class TestSeveralLabels:
    @pytest.fixture
    def aspects(self, tiny_aspects):
        return Predictor(tiny_aspects, runtime="onnx")

    def test_threshold(self, talk, aspects):
        shown = "lowest probability of each label: "
        assert talk("/threshold 0.3", predictor=aspects)[1] == [f"{shown}服务 0.3, 位置 0.3, 早餐 0.3, 隔音 0.3"]
        assert aspects.threshold == (0.3,) * 4
        assert talk("/threshold auto", predictor=aspects)[1] == [f"{shown}服务 0.35, 位置 0.5, 早餐 0.625, 隔音 0.45"]
        assert aspects.threshold == ASPECT_THRESHOLDS

    def test_abstain_is_one_number(self, talk, aspects):
        assert talk("/abstain 0.6", predictor=aspects)[1] == ["undecided below a confidence of 0.6"]
        (printed,) = talk("/abstain 0.3 0.7", predictor=aspects)[1]
        assert printed.startswith("error: abstain needs one number") and aspects.abstain == 0.6

    def test_from_one_kind_of_model_to_the_next(self, talk, tiny_model, tiny_emotions, tiny_aspects):
        paths = {"two": tiny_model, "six": tiny_emotions, "four": tiny_aspects}

        def load(name):
            return Predictor(paths[name], runtime="onnx")

        settings = {"threshold": Setting("--threshold", 0.6), "abstain": Setting("--abstain", 0.7)}
        answers, printed = talk("/model four", load=load, settings=settings)
        assert printed == ["using four"]
        assert (answers.predictor.threshold, answers.predictor.abstain) == ((0.6,) * 4, 0.7)
        answers, printed = talk("/model six", "/model two", "/model four", load=load, settings=settings)
        assert [line.split(":")[1] for line in printed if line.startswith("note")] == [
            " --threshold is not applied",
            " --abstain is not applied",
        ]
        assert [line for line in printed if not line.startswith("note")] == ["using six", "using two", "using four"]
        assert (answers.predictor.threshold, answers.predictor.abstain) == ((0.6,) * 4, 0.7)


@pytest.fixture(scope="module")
def piped(tiny_model, environment):
    """A process of the prompt that got these lines through a pipe, the last one without an end."""
    lines = [
        *(GOOD, "/json", BAD, "", "\u3000", "/nonsense", "/explain", GOOD, "/threshold 0"),
        *(f"/model {tiny_model}", BAD, "ꙮ", "\udcff\udcfe", "还行", "/help"),
    ]
    return subprocess.run(
        command(tiny_model),
        input="\n".join(lines).encode("utf-8", "surrogateescape"),
        # Strict, as in most locales; in the C locale Python itself accepts undecodable bytes.
        env=environment | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
    )


class TestPipe:
    def test_only_predictions_are_on_standard_output(self, piped, tiny_model):
        assert piped.returncode == 0
        first, *answers = piped.stdout.decode("utf-8").splitlines()
        assert re.fullmatch(r"..  probability \S+  confidence \S+", first)
        answers = [json.loads(answer) for answer in answers]
        assert [answer["text"] for answer in answers] == [BAD, GOOD, BAD, "还行"]
        assert ["words" in answer for answer in answers] == [False, True, True, True]
        predictions = Predictor(tiny_model).predict([BAD, GOOD, BAD, "还行"])
        expected = [prediction.probability for prediction in predictions]
        assert [answer["probability"] for answer in answers] == pytest.approx(expected, abs=1e-5)
        assert answers[2]["label"] == "正面"  # /threshold applies to the next model too

    def test_errors_and_notes_are_on_standard_error(self, piped, tiny_model):
        errors = piped.stderr.decode("utf-8")
        assert "type exit to leave" in errors.splitlines()[0]
        assert errors.count("error: ") == 3
        assert "error: unknown command /nonsense" in errors
        assert "error: the model knows no character of the text" in errors
        assert "error: the text is not valid Unicode" in errors
        assert f"using {tiny_model}" in errors
        assert errors.splitlines()[-1].startswith("  exit ")

    def test_there_is_no_traceback_and_nothing_for_a_terminal(self, piped):
        errors = piped.stderr.decode("utf-8")
        assert "Traceback" not in errors and b"\x1b" not in piped.stdout and "> " not in errors

    def test_a_text_that_the_end_of_input_cuts_off_is_predicted(self, tiny_model, environment):
        process = subprocess.run(command(tiny_model), input=GOOD.encode(), env=environment, capture_output=True)
        assert process.returncode == 0
        assert re.fullmatch(r"..  probability \S+  confidence \S+\n", process.stdout.decode("utf-8"))

    def test_the_exit_word_ends_it(self, tiny_model, environment):
        lines = "好\n Exit \n坏\n".encode()
        process = subprocess.run(command(tiny_model), input=lines, env=environment, capture_output=True)
        assert process.returncode == 0
        assert process.stdout.count(b"\n") == 1


class Typist:
    """A person at a pseudo-terminal: the standard streams of a program, except an output that is given."""

    def __init__(self, arguments, environment, output=None):
        import fcntl
        import termios

        self.terminal, own = os.openpty()

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it
            accept_interrupts()

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
        """Return the output of the program up to `until`, a regular expression, or to its end."""
        shown = b""
        while until is None or not re.search(until, shown.decode(errors="replace")):
            assert select.select([self.terminal], [], [], PATIENCE)[0], f"hangs after {shown!r}"
            try:
                more = os.read(self.terminal, 65536)
            except OSError:  # on Linux, when the program has ended
                more = b""
            if not more:
                assert until is None, f"ends after {shown!r}"
                break
            shown += more
        return shown.decode()

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def interrupt(self):
        """Type Ctrl-C until the program ends: Python ignores one that comes just before it waits for keys."""
        for _ in range(PATIENCE // 2):
            self.type("\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
                break

    def answer(self, keys):
        """Type keys; return the JSON objects up to the next prompt."""
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
        # Arrow up recalls the last text, Ctrl-A goes to its beginning.
        (answer,) = typist.answer("还行\r")
        (answer,) = typist.answer("\x1b[A\x01真的\r")
        assert answer["text"] == "真的还行"
        # An empty line is ignored.
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
        # Commands and exit words are never part of a paste.
        (answer,) = typist.answer("/threshold 0\r/threshold 0\r好\r")
        assert (answer["text"], answer["label"]) == ("好", "正面")
        typist.type("exit\rexit\r")
        typist.read()
        assert typist.process.wait(PATIENCE) == 0

    @pytest.mark.parametrize("variables", [{}, {"TERM": "dumb"}])
    def test_texts_typed_before_the_first_prompt_stay_apart(self, typist, variables):
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

    @pytest.mark.parametrize("word", ["quit", "退出"])
    def test_further_words_end_it(self, typist, word):
        typist = typist()
        typist.read("> $")
        typist.type(f"{word}\r")
        typist.read()
        assert typist.process.wait(PATIENCE) == 0

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

    def test_predictions_that_go_to_a_file(self, typist, tmp_path):
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
