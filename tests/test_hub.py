"""Data sets through the `datasets` library: folders stand in for the hub, a small server for its refusals."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest

from system import hub
from system.errors import InputError
from text import hub_datasets
from text import sources as readers
from text.hub_datasets import HubId, open_folder, open_hub, parse_hub_id
from text.sources import iter_texts, read_labelled

ROOT = Path(__file__).resolve().parents[1]
READ_A_DATA_SET = """
import sys
from system.command_line import exits_with_status
from text.sources import iter_texts, read_labelled
from text.tokens.tokenizer import load_tokenizer

@exits_with_status
def main(argv=None):
    read = {"dataset": read_labelled, "corpus": lambda source: next(iter_texts([source])), "tokenizer": load_tokenizer}
    print(read[sys.argv[2]](sys.argv[1]))

sys.exit(main())
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
    return folder


@pytest.fixture
def reviews(tmp_path):
    folder = tmp_path / "reviews"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\n好,1\n,0\n坏,0\n", encoding="utf-8")
    return folder


@pytest.fixture
def hub_is_a_folder(monkeypatch):
    """Lets the hub answer, and `load_dataset` find the folder in place of any id."""

    def stand_in(folder):
        load_dataset = datasets.load_dataset
        asked = []

        def load(name, config, **options):
            asked.append((name, config))
            return load_dataset(str(folder), **options)

        monkeypatch.setattr(hub_datasets, "hub_answers", lambda path: True)
        monkeypatch.setattr(datasets, "load_dataset", load)
        return asked

    return stand_in


def test_hub_ids():
    assert parse_hub_id("XiangPan/ChnSentiCorp_htl_8k") == HubId("XiangPan/ChnSentiCorp_htl_8k", None)
    assert parse_hub_id("wikimedia/wikipedia:20231101.zh") == HubId("wikimedia/wikipedia", "20231101.zh")
    for source in ("reviews", "/data/reviews", "a/b/c", "a/b:", "a b/c", "../reviews/"):
        assert parse_hub_id(source) is None


class TestFolders:
    def test_data_files(self, reviews):
        labelled = read_labelled(reviews)
        assert labelled.texts == ["好", "", "坏"]
        assert labelled.problems == {1: "row 2: the text is empty"}

    def test_parquet_with_class_labels(self, tmp_path):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(2)})
        made = datasets.Dataset.from_dict({"text": ["坏", "好"], "label": [0, 1]}, features=features)
        (tmp_path / "reviews").mkdir()
        made.to_parquet(tmp_path / "reviews" / "train-00000.parquet")
        assert read_labelled(tmp_path / "reviews").labels.tolist() == [0, 1]

    @pytest.mark.parametrize("with_splits", [True, False])
    def test_saved_to_disk(self, tmp_path, with_splits):
        saved = datasets.Dataset.from_dict({"text": ["好"], "label": [1]})
        if with_splits:
            saved = datasets.DatasetDict({"train": saved, "test": saved})
        saved.save_to_disk(tmp_path / "saved")
        assert read_labelled(tmp_path / "saved").texts == ["好"]

    def test_a_change_is_not_missed_because_of_the_cache(self, reviews):
        read_labelled(reviews)
        (reviews / "train.csv").write_text("text,label\n新,1\n", encoding="utf-8")
        assert read_labelled(reviews).texts == ["新"]

    def test_the_only_split_serves(self, reviews):
        (reviews / "train.csv").rename(reviews / "test.csv")
        assert len(list(open_folder(reviews).rows)) == 3

    def test_no_split_to_train_on(self, reviews):
        (reviews / "train.csv").rename(reviews / "test.csv")
        (reviews / "validation.csv").write_text("text,label\n好,1\n", encoding="utf-8")
        with pytest.raises(InputError, match="no split 'train' but validation, test"):
            read_labelled(reviews)

    def test_nothing_to_read(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="cannot read the folder .*empty as a data set"):
            read_labelled(tmp_path / "empty")

    def test_damaged_files(self, reviews):
        (reviews / "train.csv").write_bytes(b"text,label\n\xff\xff,1\n")
        with pytest.raises(InputError, match="cannot read the folder .*reviews as a data set"):
            read_labelled(reviews)


class TestHubThatAnswers:
    def test_labelled(self, reviews, hub_is_a_folder):
        asked = hub_is_a_folder(reviews)
        labelled = read_labelled("XiangPan/ChnSentiCorp_htl_8k")
        assert (labelled.name, labelled.texts) == ("XiangPan/ChnSentiCorp_htl_8k", ["好", "", "坏"])
        assert asked == [("XiangPan/ChnSentiCorp_htl_8k", None)]

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_stream_of_documents(self, tmp_path, hub_is_a_folder, kind):
        made = datasets.Dataset.from_dict({"title": ["一", "二"], "text": ["第一", "第二"]})
        (tmp_path / "wiki").mkdir()
        getattr(made, f"to_{kind}")(tmp_path / "wiki" / f"train.{kind}")
        asked = hub_is_a_folder(tmp_path / "wiki")
        assert list(iter_texts(["wikimedia/wikipedia:20231101.zh"])) == ["第一", "第二"]
        assert asked == [("wikimedia/wikipedia", "20231101.zh")]

    def test_stream_that_breaks_off(self, reviews, hub_is_a_folder):
        (reviews / "train.csv").write_bytes("text,label\n好,1\n".encode() + b"\xff\xff,1\n")
        hub_is_a_folder(reviews)
        with pytest.raises(InputError, match="owner/name"):
            list(open_hub(HubId("owner/name", None), "--corpus", streaming=True).rows)


class TestHubThatDoesNotAnswer:
    def test_offline(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(InputError) as dataset_error:
            read_labelled("XiangPan/ChnSentiCorp_htl_8k")
        for part in ("could not be reached", "--dataset FILE", "--dataset sample", "HF_ENDPOINT"):
            assert part in str(dataset_error.value)
        with pytest.raises(InputError, match="--corpus FILE.*--corpus sample"):
            list(iter_texts(["wikimedia/wikipedia:20231101.zh"]))

    @pytest.mark.parametrize("streaming", [False, True])
    def test_an_earlier_download_serves_with_a_warning(self, reviews, cache, monkeypatch, caplog, streaming):
        downloaded = reviews.rename(reviews.with_name("hotel_reviews"))
        datasets.load_dataset(str(downloaded))
        (cache / "hotel_reviews").rename(cache / "owner___hotel_reviews")
        monkeypatch.setattr(hub_datasets, "hub_answers", lambda path: False)
        table = open_hub(HubId("owner/hotel_reviews", None), "--dataset", streaming)
        assert [row.values["text"] for row in table.rows] == ["好", None, "坏"]
        assert "using the copy of owner/hotel_reviews downloaded earlier" in caplog.text
        assert not datasets.config.HF_HUB_OFFLINE

    def test_a_name_look_up_that_hangs_is_not_waited_for(self, monkeypatch):
        class Session:
            def head(self, *_, **__):
                time.sleep(60)

        monkeypatch.setattr("huggingface_hub.get_session", Session)
        monkeypatch.setattr(hub, "PROBE_SECONDS", 0.1)
        start = time.monotonic()
        assert not hub.hub_answers()
        assert time.monotonic() - start < 2


class Refusing(BaseHTTPRequestHandler):
    """Answers as the hub does at its front page, and with the server's refusal everywhere else."""

    def do_HEAD(self):
        self.server.requests.append(self.path)
        status, code = (200, None) if self.path == "/" else self.server.refusal
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing_hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.requests = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent_hub():
    """Takes connections and never says a word; gives its port and the list of the connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def accept():
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connections.append(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1], connections
    listener.close()
    for connection in connections:
        connection.close()


class TestAsAUserSeesIt:
    """In a process of its own: the libraries read their environment when they are imported."""

    def run(self, source, kind, endpoint, tmp_path):
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
        command = [sys.executable, "-c", READ_A_DATA_SET, source, kind]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1, "one sentence, and nothing of the libraries' retries"
        return done.stderr

    @pytest.mark.parametrize("kind", ["dataset", "corpus"])
    def test_no_network(self, tmp_path, kind):
        start = time.monotonic()
        error = self.run("owner/name", kind, "http://127.0.0.1:9", tmp_path)
        assert time.monotonic() - start < 20, "no port counts the attempts here; the retries would take 23 seconds"
        assert "could not be reached at http://127.0.0.1:9" in error
        assert f"--{kind} sample" in error

    @pytest.mark.parametrize("kind", ["dataset", "corpus", "tokenizer"])
    def test_a_hub_that_never_answers_is_asked_once(self, tmp_path, silent_hub, kind):
        """Takes ten seconds for the tokenizer: five to wait for the hub, and five to load `transformers`."""
        port, connections = silent_hub
        error = self.run("owner/name", kind, f"http://127.0.0.1:{port}", tmp_path)
        assert "HF_ENDPOINT" in error
        assert len(connections) == 1

    @pytest.mark.parametrize("kind", ["dataset", "corpus", "tokenizer"])
    @pytest.mark.parametrize("status", [500, 503])
    def test_a_proxy_that_shows_the_front_page_alone_is_asked_once(self, tmp_path, refusing_hub, kind, status):
        refusing_hub.refusal = (status, None)
        error = self.run("owner/name", kind, f"http://127.0.0.1:{refusing_hub.server_port}", tmp_path)
        assert "HF_ENDPOINT" in error
        assert len(refusing_hub.requests) == 1

    @pytest.mark.parametrize(("status", "code"), [(401, "RepoNotFound"), (403, "GatedRepo")])
    def test_a_data_set_that_is_not_there_or_gated(self, tmp_path, refusing_hub, status, code):
        refusing_hub.refusal = (status, code)
        error = self.run("owner/name", "dataset", f"http://127.0.0.1:{refusing_hub.server_port}", tmp_path)
        assert "owner/name is no file or folder here, and the Hugging Face hub does not have it or" in error
        assert "--dataset FILE" in error


def test_readers_do_not_import_the_heavy_libraries():
    program = f"import json, sys, {readers.__name__}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"datasets", "huggingface_hub", "pyarrow", "pandas"} & set(json.loads(done.stdout))
