"""Data sets read by the `datasets` library: folders stand in for the hub, small servers for its refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from hub_servers import refusing_server, silent_server

from system import hub
from system.errors import InputError
from text import hub_datasets
from text.corpus import iter_texts
from text.hub_datasets import HubId, open_folder, open_hub, parse_hub_id
from text.sources import read_labelled

PROGRAMS = Path(__file__).resolve().parent / "programs"


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


class LoadDataset:
    """A replacement of `datasets.load_dataset` that reads a folder for any id, and notes the ids."""

    def __init__(self):
        self.folder = None
        self.ids = []
        self._load_dataset = datasets.load_dataset

    def __call__(self, name, config, **options):
        self.ids.append((name, config))
        return self._load_dataset(str(self.folder), **options)


@pytest.fixture
def folder_as_hub(monkeypatch):
    """Let the hub answer with the data set in a folder, which the test sets."""
    load_dataset = LoadDataset()
    monkeypatch.setattr(hub_datasets, "hub_answers", lambda path: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return load_dataset


def test_a_hub_id_is_an_owner_and_a_name():
    assert parse_hub_id("XiangPan/ChnSentiCorp_htl_8k") == HubId("XiangPan/ChnSentiCorp_htl_8k", None)
    assert parse_hub_id("wikimedia/wikipedia:20231101.zh") == HubId("wikimedia/wikipedia", "20231101.zh")
    for source in ("reviews", "/data/reviews", "a/b/c", "a/b:", "a b/c", "../reviews/"):
        assert parse_hub_id(source) is None


class TestFolders:
    def test_data_files_are_read(self, reviews):
        labelled = read_labelled(reviews)
        assert labelled.texts == ["好", "", "坏"]
        assert labelled.problems == {1: "row 2: the text is empty"}

    def test_parquet_with_class_labels_is_read(self, tmp_path):
        features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(2)})
        made = datasets.Dataset.from_dict({"text": ["坏", "好"], "label": [0, 1]}, features=features)
        (tmp_path / "reviews").mkdir()
        made.to_parquet(tmp_path / "reviews" / "train-00000.parquet")
        assert read_labelled(tmp_path / "reviews").labels.tolist() == [0, 1]

    @pytest.mark.parametrize("with_splits", [True, False])
    def test_a_saved_data_set_is_read(self, tmp_path, with_splits):
        saved = datasets.Dataset.from_dict({"text": ["好"], "label": [1]})
        if with_splits:
            saved = datasets.DatasetDict({"train": saved, "test": saved})
        saved.save_to_disk(tmp_path / "saved")
        assert read_labelled(tmp_path / "saved").texts == ["好"]

    def test_a_change_is_not_missed_because_of_the_cache(self, reviews):
        read_labelled(reviews)
        (reviews / "train.csv").write_text("text,label\n新,1\n", encoding="utf-8")
        assert read_labelled(reviews).texts == ["新"]

    def test_the_only_split_is_read(self, reviews):
        (reviews / "train.csv").rename(reviews / "test.csv")
        assert len(list(open_folder(reviews).rows)) == 3

    @pytest.fixture
    def with_splits(self, tmp_path):
        """A folder that `save_to_disk` wrote, with three splits."""
        splits = {"train": ["好", "坏"] * 3, "dev": ["行", "差"], "test": ["妙", "糟", "赞"]}
        made = {
            name: datasets.Dataset.from_dict({"text": texts, "label": [1 - number % 2 for number in range(len(texts))]})
            for name, texts in splits.items()
        }
        datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
        return tmp_path / "saved"

    def test_its_own_splits_are_read_if_it_is_named_for_them(self, with_splits, caplog):
        labelled = read_labelled(with_splits, validation_source=with_splits, test_source=with_splits)
        assert labelled.texts == ["好", "坏"] * 3 + ["行", "差", "妙", "糟", "赞"]
        assert list(labelled.origins.names.values()) == ["saved", "saved (dev)", "saved (test)"]
        assert caplog.messages == []

    def test_splits_that_are_not_read_are_named(self, with_splits, caplog):
        assert read_labelled(with_splits).texts == ["好", "坏"] * 3
        assert caplog.messages == [
            f"{with_splits}: not read: dev, test; to use official splits, give the same source as --validation-dataset "
            "and --test-dataset"
        ]
        caplog.clear()
        read_labelled(with_splits, test_source=with_splits)
        assert caplog.messages[0].startswith(f"{with_splits}: not read: dev; ")

    def test_one_file_of_a_folder_may_be_the_test_split(self, reviews):
        (reviews / "test.csv").write_text("text,label\n妙,1\n", encoding="utf-8")
        labelled = read_labelled(reviews, test_source=reviews / "test.csv")
        assert labelled.texts == ["好", "", "坏", "妙"]

    def test_a_folder_of_one_split_is_not_two(self, reviews):
        with pytest.raises(InputError, match="--test-dataset .*reviews is the data of --dataset"):
            read_labelled(reviews, test_source=reviews)

    def test_a_split_that_is_not_there_is_an_error(self, with_splits, reviews):
        (reviews / "validation.csv").write_text("text,label\n好,1\n", encoding="utf-8")
        with pytest.raises(InputError, match="no split 'test', only train, validation; save one of them as a file"):
            read_labelled(with_splits, test_source=reviews)

    def test_several_splits_without_train_are_an_error(self, reviews):
        (reviews / "train.csv").rename(reviews / "test.csv")
        (reviews / "validation.csv").write_text("text,label\n好,1\n", encoding="utf-8")
        with pytest.raises(InputError, match="no split 'train', only validation, test; save one of them as a file"):
            read_labelled(reviews)

    def test_an_empty_folder_is_an_error(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="cannot read the folder .*empty as a data set"):
            read_labelled(tmp_path / "empty")

    def test_a_damaged_file_is_an_error(self, reviews):
        (reviews / "train.csv").write_bytes(b"text,label\n\xff\xff,1\n")
        with pytest.raises(InputError, match="cannot read the folder .*reviews as a data set"):
            read_labelled(reviews)


class TestHubThatAnswers:
    def test_labelled_texts_are_read(self, reviews, folder_as_hub):
        folder_as_hub.folder = reviews
        labelled = read_labelled("XiangPan/ChnSentiCorp_htl_8k")
        assert (labelled.name, labelled.texts) == ("XiangPan/ChnSentiCorp_htl_8k", ["好", "", "坏"])
        assert folder_as_hub.ids == [("XiangPan/ChnSentiCorp_htl_8k", None)]

    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_documents_are_streamed(self, tmp_path, folder_as_hub, kind):
        made = datasets.Dataset.from_dict({"title": ["一", "二"], "text": ["第一", "第二"]})
        (tmp_path / "wiki").mkdir()
        getattr(made, f"to_{kind}")(tmp_path / "wiki" / f"train.{kind}")
        folder_as_hub.folder = tmp_path / "wiki"
        assert list(iter_texts(["wikimedia/wikipedia:20231101.zh"])) == ["第一", "第二"]
        assert folder_as_hub.ids == [("wikimedia/wikipedia", "20231101.zh")]

    def test_a_stream_that_breaks_off_is_an_error(self, reviews, folder_as_hub):
        (reviews / "train.csv").write_bytes("text,label\n好,1\n".encode() + b"\xff\xff,1\n")
        folder_as_hub.folder = reviews
        with pytest.raises(InputError, match="cannot read more rows of owner/name"):
            list(open_hub(HubId("owner/name", None), "--corpus", streaming=True).rows)


class TestHubThatDoesNotAnswer:
    def test_offline_the_error_names_what_to_do(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(InputError) as dataset_error:
            read_labelled("XiangPan/ChnSentiCorp_htl_8k")
        for part in ("could not be reached", "--dataset FILE", "--dataset sample", "HF_ENDPOINT"):
            assert part in str(dataset_error.value)
        with pytest.raises(InputError, match="--corpus FILE.*--corpus sample"):
            list(iter_texts(["wikimedia/wikipedia:20231101.zh"]))

    @pytest.mark.parametrize("streaming", [False, True])
    def test_an_earlier_download_is_used_with_a_warning(self, reviews, cache, monkeypatch, caplog, streaming):
        downloaded = reviews.rename(reviews.with_name("hotel_reviews"))
        datasets.load_dataset(str(downloaded))
        (cache / "hotel_reviews").rename(cache / "owner___hotel_reviews")
        monkeypatch.setattr(hub_datasets, "hub_answers", lambda path: False)
        table = open_hub(HubId("owner/hotel_reviews", None), "--dataset", streaming)
        assert [row.values["text"] for row in table.rows] == ["好", None, "坏"]
        assert "using the copy of owner/hotel_reviews downloaded earlier" in caplog.text
        assert not datasets.config.HF_HUB_OFFLINE


def read_dataset(hub_id):
    read_labelled(hub_id)


def read_corpus(hub_id):
    next(iter_texts([hub_id]))


@pytest.mark.parametrize("read", [read_dataset, read_corpus])
class TestHubThatRefuses:
    """In this process. The libraries must neither print nor ask again."""

    @pytest.fixture
    def hub_at(self, monkeypatch):
        def set_address(address):
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
            monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)

        return set_address

    def refusal(self, read, capfd):
        with pytest.raises(InputError) as error:
            read("owner/name")
        assert capfd.readouterr() == ("", "")
        return str(error.value)

    def test_a_hub_that_never_answers_is_asked_once(self, read, hub_at, monkeypatch, capfd):
        monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
        with silent_server() as (address, connections):
            hub_at(address)
            error = self.refusal(read, capfd)
            assert len(connections) == 1
        assert f"could not be reached at {address}" in error and "HF_ENDPOINT" in error

    @pytest.mark.parametrize("status", [500, 503])
    def test_a_proxy_that_shows_the_front_page_alone_is_asked_once(self, read, hub_at, capfd, status):
        with refusing_server(status) as (address, requests):
            hub_at(address)
            error = self.refusal(read, capfd)
        assert len(requests) == 1
        assert f"could not be reached at {address}" in error and "HF_ENDPOINT" in error


class TestAsAUserSeesIt:
    """In a process of its own, because the libraries read their environment when they are imported."""

    def error(self, kind, address, tmp_path):
        """Return what reading from a hub that cannot be reached prints: one line of standard error."""
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path)}
        command = [sys.executable, PROGRAMS / "read_source.py", kind, "owner/name"]
        done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=120)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1, "one sentence, and no output of the libraries' retries"
        return done.stderr

    @pytest.mark.parametrize("kind", ["dataset", pytest.param("corpus", marks=pytest.mark.slow)])
    def test_without_a_network_the_error_names_the_sample(self, tmp_path, kind):
        with silent_server(resets=True) as (address, connections):
            error = self.error(kind, address, tmp_path)
        assert len(connections) == 1
        assert f"could not be reached at {address}" in error
        assert f"--{kind} sample" in error

    @pytest.mark.slow
    def test_a_hub_that_never_answers_is_asked_once(self, tmp_path):
        with silent_server() as (address, connections):
            assert "HF_ENDPOINT" in self.error("dataset", address, tmp_path)
            assert len(connections) == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["dataset", "corpus", "tokenizer"])
    def test_a_proxy_that_shows_the_front_page_alone_is_asked_once(self, tmp_path, kind):
        with refusing_server(503) as (address, requests):
            assert "HF_ENDPOINT" in self.error(kind, address, tmp_path)
        assert len(requests) == 1

    @pytest.mark.parametrize(("status", "code"), [(401, "RepoNotFound"), (403, "GatedRepo")])
    def test_a_data_set_that_is_missing_or_gated_is_an_error(self, tmp_path, status, code):
        with refusing_server(status, code) as (address, _):
            error = self.error("dataset", address, tmp_path)
        assert "there is no file or folder owner/name, and the Hugging Face hub does not have it or" in error
        assert "--dataset FILE" in error


def test_the_module_of_sources_loads_no_heavy_library():
    command = [sys.executable, PROGRAMS / "modules_of_import.py", "text.sources"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert not {"datasets", "huggingface_hub", "pyarrow", "pandas"} & set(json.loads(done.stdout))
