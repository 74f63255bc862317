"""Files and outputs of a cluster run, in the file system of this machine and behind a URI."""

import os

import pytest

from serving.scoring.cluster.storage import Destination, InputFile, find_files
from system.errors import InputError, OutputError


@pytest.fixture
def reviews(tmp_path):
    """A folder of files, of which two are of interest."""
    folder = tmp_path / "all reviews"
    (folder / "old").mkdir(parents=True)
    for name in ("b.csv", "a 1.csv", "c.tsv", ".hidden.csv", "old/d.csv"):
        (folder / name).write_text(name, encoding="utf-8")
    return folder


@pytest.fixture(params=["path", "uri"])
def root(request, reviews):
    """The folder as the user names it."""
    return str(reviews) if request.param == "path" else reviews.as_uri()


class TestFindFiles:
    def test_a_pattern_finds_files_in_the_order_of_their_names(self, root):
        files = find_files(f"{root}/*.csv")
        assert [os.path.basename(file.name) for file in files] == ["a 1.csv", "b.csv"]
        for file, content in zip(files, ["a 1.csv", "b.csv"], strict=True):
            with file.local_path() as path:
                assert path.read_text(encoding="utf-8") == content
                assert path.suffix == ".csv"
            assert file.is_on_this_machine

    def test_wildcards_in_folders(self, root):
        assert [os.path.basename(file.name) for file in find_files(f"{root}/o*/*.csv")] == ["d.csv"]

    def test_one_file(self, root):
        (file,) = find_files(f"{root}/b.csv")
        assert file.name == f"{root}/b.csv"

    @pytest.mark.parametrize("pattern", ["missing.csv", "*.parquet", "missing/*.csv"])
    def test_none(self, root, pattern):
        with pytest.raises(InputError, match="missing|no such file"):
            find_files(f"{root}/{pattern}")

    def test_a_name_with_the_characters_of_a_pattern(self, tmp_path):
        (tmp_path / "a[1].csv").touch()
        assert [file.name for file in find_files(f"{tmp_path}/a[1].csv")] == [f"{tmp_path}/a[1].csv"]

    def test_a_folder_is_refused(self, reviews):
        with pytest.raises(InputError, match=r"this is a folder; name the files in it, such as '.*\*\.csv'"):
            find_files(str(reviews))

    @pytest.mark.parametrize("uri", ["nope://bucket/a.csv", "file://elsewhere/a.csv"])
    def test_a_storage_that_cannot_be_read(self, uri):
        with pytest.raises(InputError, match=f"cannot read {uri}: "):
            find_files(uri)


def test_an_error_names_the_file_and_not_its_copy(reviews):
    file = InputFile("s3://bucket/b.csv", (reviews / "b.csv").as_uri())
    with pytest.raises(InputError, match="^s3://bucket/b.csv is empty$"), file.local_path() as path:
        raise InputError(f"{path} is empty")
    assert not path.exists()


class TestDestination:
    @pytest.mark.parametrize(
        ("output", "is_folder"), [("out", True), ("out.csv", False), ("out.v2/", True), ("s3://b/out/a.csv", False)]
    )
    def test_a_name_without_a_suffix_is_a_folder(self, output, is_folder):
        assert Destination(output).is_folder is is_folder

    def test_an_existing_folder_is_a_folder(self, tmp_path):
        (tmp_path / "out.csv").mkdir()
        assert Destination(str(tmp_path / "out.csv")).is_folder

    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_a_folder_with_other_files_is_refused(self, tmp_path, scheme):
        (tmp_path / "out").mkdir()
        destination = Destination(f"{scheme}{tmp_path}/out")
        (tmp_path / "out" / "part-00000.csv").touch()
        destination.check([])
        (tmp_path / "out" / "mine.csv").touch()
        with pytest.raises(OutputError, match="the folder holds other files"):
            destination.check([])

    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_the_input_is_refused(self, tmp_path, scheme):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "part-00000.csv").touch()
        files = find_files(f"{scheme}{tmp_path}/in/part-00000.csv")
        for output in ("in/part-00000.csv", "in"):
            with pytest.raises(InputError, match="is also the input"):
                Destination(f"{scheme}{tmp_path}/{output}").check(files)

    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_a_smaller_run_leaves_no_file_of_a_larger_one(self, tmp_path, scheme):
        destination = Destination(f"{scheme}{tmp_path}/made/out")
        for count in (2, 1):
            joined = tmp_path / f"joined {count}"
            joined.mkdir()
            for number in range(count):
                (joined / f"part-{number:05}.csv").write_text(f"{number} of {count}", encoding="utf-8")
            destination.publish(joined)
        (only,) = (tmp_path / "made" / "out").iterdir()
        assert only.read_text(encoding="utf-8") == "0 of 1"

    def test_a_uri_without_a_name_is_refused(self):
        with pytest.raises(InputError, match="names no file or folder"):
            Destination("s3://").check([])
