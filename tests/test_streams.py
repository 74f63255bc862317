"""Standard streams that are closed, and what is never replaced: pipes, devices, open descriptors."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from system.streams import is_standard_output, is_stream, open_stream

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "error: standard output is closed; "
WHO_GETS_THE_DESCRIPTORS = """
import os, sys
from system.command_line import exits_with_status

@exits_with_status
def main(argv=None):
    with open(sys.argv[1], "w") as data:
        print("to standard error", file=sys.stderr)
        print("to standard output")
        os.write(1, b"from compiled code")
        os.write(2, b"from compiled code")
        data.write(f"{data.fileno() > 2}")

sys.exit(main())
"""


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_names_of_standard_output(tmp_path, path):
    assert is_standard_output(path) and is_stream(path)
    if path != "-":
        (tmp_path / "link").symlink_to(path)
        (tmp_path / "link to it").symlink_to("link")
        assert is_standard_output(tmp_path / "link to it") and is_stream(tmp_path / "link to it")


def test_what_is_a_stream(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", "/dev/null", "/dev/stderr", "/dev/fd/63"):
        assert is_stream(path) and not is_standard_output(path)


def test_what_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("file", "link", "circle", "new", "-", "."):
        assert not is_stream(tmp_path / name) and not is_standard_output(tmp_path / name)


def test_an_open_descriptor_is_added_to(tmp_path):
    """As `--output /dev/fd/3 3>> file` means it."""
    with open(tmp_path / "file", "wb") as file:
        file.write(b"first\n")
        file.flush()
        with open_stream(f"/dev/fd/{file.fileno()}") as stream:
            stream.write(b"second\n")
    assert (tmp_path / "file").read_bytes() == b"first\nsecond\n"


def shell(command, tmp_path, **options):
    """Runs a command of the shell at the root of the project; `$python` and `$out` are set."""
    environment = os.environ | {"python": sys.executable, "out": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", **options
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_data_file_never_takes_the_place_of_a_closed_stream(tmp_path, closed):
    (tmp_path / "program.py").write_text(WHO_GETS_THE_DESCRIPTORS, encoding="utf-8")
    done = shell(f'PYTHONPATH=. "$python" "$out/program.py" "$out/data" {closed}', tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "data").read_text() == "True"
    assert ("to standard output" in done.stdout) is (">&-" not in closed.split())
    assert ("to standard error" in done.stderr) is ("2>&-" not in closed)
    assert "Traceback" not in done.stderr


class TestApplication:
    def test_no_standard_output(self, tmp_path):
        done = shell('"$python" application.py --text 很好 >&-', tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(NOWHERE)

    def test_no_standard_error(self, tmp_path):
        done = shell('"$python" application.py --text 很好 --text "" 2>&-', tmp_path)
        assert done.returncode == 1
        assert done.stdout.startswith("正面  probability") and done.stdout.count("\n") == 1

    def test_neither(self, tmp_path):
        assert shell('"$python" application.py --text 很好 >&- 2>&-', tmp_path).returncode == 1

    def test_the_prompt(self, tmp_path):
        done = shell('echo 很好 | "$python" application.py >&-', tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith(NOWHERE)

    @pytest.mark.parametrize("output", ["", "--output -", "--output /dev/stdout"])
    def test_a_file_to_closed_standard_output(self, tmp_path, output):
        done = shell(f'"$python" application.py --file data/sample_reviews.csv {output} >&-', tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(NOWHERE)

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
    def test_a_file_to_a_file(self, tmp_path, closed):
        options = '--file data/sample_reviews.csv --output "$out/scored.csv"'
        done = shell(f'"$python" application.py {options} {closed}', tmp_path)
        assert (done.returncode, done.stdout) == (0, "")
        assert (tmp_path / "scored.csv").read_text(encoding="utf-8").count("\n") == 505
        assert os.listdir(tmp_path) == ["scored.csv"]

    def test_a_file_without_standard_error(self, tmp_path):
        done = shell('"$python" application.py --file data/sample_reviews.csv 2>&-', tmp_path)
        assert (done.returncode, done.stdout.count("\n")) == (0, 505)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
    def test_a_full_disk_behind_standard_output(self, tmp_path):
        done = shell('"$python" application.py --text 很好 >/dev/full', tmp_path)
        assert (done.returncode, done.stderr) == (1, "error: [Errno 28] No space left on device\n")


class TestPretrain:
    @pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
    def test_help(self, tmp_path, closed):
        done = shell(f'"$python" pretrain.py --help {closed}', tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage: pretrain.py") is (">&-" not in closed.split())

    def test_a_dry_run(self, tmp_path):
        """Takes the ten seconds that TensorFlow needs to load."""
        options = (
            '--dry-run --corpus sample --run-folder "$out/run" --cache-folder "$out/cache" --output "$out/m.keras"'
        )
        done = shell(f'"$python" pretrain.py {options} >&- 2>&-', tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert os.listdir(tmp_path) == ["cache"]


class TestScoringToAStream:
    """`--output` as a shell's users give it; no device may be replaced by a file."""

    COMMAND = '"$python" application.py --file data/sample_reviews.csv --output'

    @pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    def test_standard_output(self, tmp_path, output):
        before = os.lstat("/dev/stdout")
        done = shell(f'{self.COMMAND} {output} > "$out/scored.csv"', tmp_path)
        assert done.returncode == 0
        assert (tmp_path / "scored.csv").read_text(encoding="utf-8").count("\n") == 505
        after = os.lstat("/dev/stdout")
        assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)

    def test_the_null_device(self, tmp_path):
        done = shell(f"{self.COMMAND} /dev/null", tmp_path)
        assert (done.returncode, done.stdout) == (0, "")
        assert "504 rows" in done.stderr
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)

    def test_a_pipe(self, tmp_path):
        done = shell(
            f'mkfifo "$out/pipe.jsonl"; wc -l < "$out/pipe.jsonl" & {self.COMMAND} "$out/pipe.jsonl"; wait', tmp_path
        )
        assert (done.returncode, done.stdout.strip()) == (0, "504")
        assert os.listdir(tmp_path) == ["pipe.jsonl"]

    def test_parquet_is_refused_before_the_pipe_is_opened(self, tmp_path):
        done = shell(f'mkfifo "$out/pipe.parquet"; {self.COMMAND} "$out/pipe.parquet"', tmp_path)
        assert done.returncode == 1
        assert "Parquet cannot be written to" in done.stderr

    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "disk").mkdir()
        (tmp_path / "link.csv").symlink_to(Path("disk", "scored.csv"))
        for _ in range(2):
            assert shell(f'{self.COMMAND} "$out/link.csv"', tmp_path).returncode == 0
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "disk" / "scored.csv").read_text(encoding="utf-8").count("\n") == 505
        assert sorted(os.listdir(tmp_path)) == ["disk", "link.csv"] and os.listdir(tmp_path / "disk") == ["scored.csv"]

    def test_a_page_of_explanations_to_the_null_device(self, tmp_path):
        done = shell('"$python" application.py --text 很好 --explain-output /dev/null', tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("正面")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
