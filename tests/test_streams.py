"""Standard streams that are closed, and what is written to but never replaced: pipes, devices, descriptors."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from system.streams import is_standard_output, is_stream, open_stream

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "error: standard output is closed; "


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_has_several_names(tmp_path, path):
    assert is_standard_output(path) and is_stream(path)
    if path != "-":
        (tmp_path / "link").symlink_to(path)
        (tmp_path / "link to it").symlink_to("link")
        assert is_standard_output(tmp_path / "link to it") and is_stream(tmp_path / "link to it")


def test_pipes_devices_and_descriptors_are_streams(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", "/dev/null", "/dev/stderr", "/dev/fd/63"):
        assert is_stream(path) and not is_standard_output(path)


def test_files_folders_and_missing_paths_are_not_streams(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("file", "link", "circle", "new", "-", "."):
        assert not is_stream(tmp_path / name) and not is_standard_output(tmp_path / name)


def test_an_open_descriptor_is_appended_to(tmp_path):
    """As for `--output /dev/fd/3 3>> file`."""
    with open(tmp_path / "file", "wb") as file:
        file.write(b"first\n")
        file.flush()
        with open_stream(f"/dev/fd/{file.fileno()}") as stream:
            stream.write(b"second\n")
    assert (tmp_path / "file").read_bytes() == b"first\nsecond\n"


@pytest.fixture
def shell(tmp_path):
    """Run a command of the shell at the root of the project; `$python`, `$programs`, `$reviews` and `$out` are set."""
    (tmp_path / "reviews.csv").write_text("text,label\n房间很好,1\n房间很差,0\n早餐不错,1\n", encoding="utf-8")
    (tmp_path / "out").mkdir()
    environment = os.environ | {
        "python": sys.executable,
        "programs": str(ROOT / "tests" / "programs"),
        "reviews": str(tmp_path / "reviews.csv"),
        "out": str(tmp_path / "out"),
        "PYTHONIOENCODING": "utf-8",
    }

    def run(command):
        command = ["/bin/sh", "-c", command]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")

    return run


@pytest.fixture
def out(tmp_path, shell):
    """The folder `$out` of the shell."""
    return tmp_path / "out"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_data_file_never_takes_the_place_of_a_closed_stream(shell, out, closed):
    done = shell(f'"$python" "$programs/write_everywhere.py" "$out/data" {closed}')
    assert done.returncode == 0
    assert (out / "data").read_text() == "True"
    assert ("to standard output" in done.stdout) is (">&-" not in closed.split())
    assert ("to standard error" in done.stderr) is ("2>&-" not in closed)
    assert "Traceback" not in done.stderr


class TestApplicationWithClosedStreams:
    def test_without_standard_output_a_text_is_refused(self, shell):
        done = shell('"$python" application.py --text 很好 >&-')
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(NOWHERE)

    def test_without_standard_error_a_text_is_predicted(self, shell):
        done = shell('"$python" application.py --text 很好 --text "" 2>&-')
        assert done.returncode == 1
        assert done.stdout.startswith("正面  probability") and done.stdout.count("\n") == 1

    def test_without_either_the_status_alone_tells(self, shell):
        assert shell('"$python" application.py --text 很好 >&- 2>&-').returncode == 1

    def test_without_standard_output_the_prompt_is_refused(self, shell):
        done = shell('echo 很好 | "$python" application.py >&-')
        assert done.returncode == 1
        assert done.stderr.startswith(NOWHERE)

    @pytest.mark.parametrize("output", ["", "--output -", "--output /dev/stdout"])
    def test_without_standard_output_a_file_is_refused(self, shell, output):
        done = shell(f'"$python" application.py --file "$reviews" {output} >&-')
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(NOWHERE)

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
    def test_a_file_is_scored_to_a_file(self, shell, out, closed):
        options = '--file "$reviews" --output "$out/scored.csv"'
        done = shell(f'"$python" application.py {options} {closed}')
        assert (done.returncode, done.stdout) == (0, "")
        assert (out / "scored.csv").read_text(encoding="utf-8").count("\n") == 4
        assert os.listdir(out) == ["scored.csv"]

    def test_without_standard_error_a_file_is_scored(self, shell):
        done = shell('"$python" application.py --file "$reviews" 2>&-')
        assert (done.returncode, done.stdout.count("\n")) == (0, 4)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
    def test_a_full_disk_behind_standard_output_is_one_line(self, shell):
        done = shell('"$python" application.py --text 很好 >/dev/full')
        assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")


class TestPretrainingWithClosedStreams:
    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
    def test_the_help_is_printed(self, shell, closed):
        done = shell(f'"$python" pretrain.py --help {closed}')
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: pretrain.py") is (">&-" not in closed.split())

    @pytest.mark.slow
    def test_a_dry_run_succeeds(self, shell, out):
        options = (
            '--dry-run --corpus sample --run-folder "$out/run" --cache-folder "$out/cache" --output "$out/m.keras"'
        )
        done = shell(f'"$python" pretrain.py {options} >&- 2>&-')
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert os.listdir(out) == ["cache"]


class TestScoringToAStream:
    """`--output` in a shell. No device may be replaced by a file."""

    COMMAND = '"$python" application.py --file "$reviews" --output'

    @pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    def test_standard_output_gets_the_rows(self, shell, out, output):
        before = os.lstat("/dev/stdout")
        done = shell(f'{self.COMMAND} {output} > "$out/scored.csv"')
        assert done.returncode == 0
        assert (out / "scored.csv").read_text(encoding="utf-8").count("\n") == 4
        after = os.lstat("/dev/stdout")
        assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)

    def test_the_null_device_stays(self, shell):
        done = shell(f"{self.COMMAND} /dev/null")
        assert (done.returncode, done.stdout) == (0, "")
        assert "3 rows" in done.stderr
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)

    def test_a_pipe_gets_the_rows(self, shell, out):
        done = shell(f'mkfifo "$out/pipe.jsonl"; wc -l < "$out/pipe.jsonl" & {self.COMMAND} "$out/pipe.jsonl"; wait')
        assert (done.returncode, done.stdout.strip()) == (0, "3")
        assert os.listdir(out) == ["pipe.jsonl"]

    def test_parquet_is_refused_before_the_pipe_is_opened(self, shell):
        done = shell(f'mkfifo "$out/pipe.parquet"; {self.COMMAND} "$out/pipe.parquet"')
        assert done.returncode == 1
        assert "Parquet cannot be written to" in done.stderr

    def test_a_link_stays_a_link(self, shell, out):
        (out / "disk").mkdir()
        (out / "link.csv").symlink_to(Path("disk", "scored.csv"))
        for _ in range(2):
            assert shell(f'{self.COMMAND} "$out/link.csv"').returncode == 0
        assert (out / "link.csv").is_symlink()
        assert (out / "disk" / "scored.csv").read_text(encoding="utf-8").count("\n") == 4
        assert sorted(os.listdir(out)) == ["disk", "link.csv"] and os.listdir(out / "disk") == ["scored.csv"]

    def test_a_page_of_explanations_leaves_the_null_device(self, shell):
        done = shell('"$python" application.py --text 很好 --explain-output /dev/null')
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("正面")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
