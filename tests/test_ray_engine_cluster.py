"""The Ray engine on a cluster of two nodes, whose workers and driver are killed. No row is lost, doubled or moved.

Each run starts processes that load Ray, pyarrow and ONNX Runtime, so all tests here are slow.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from application_process import application as application_command

import application
from serving.scoring.source import BLOCK_ROWS

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finding the workers to kill needs /proc"),
]

WORDS = ["房间很干净", "隔音太差", "早餐一般", "还行", "", "前台也热情，", "一晚上没睡着。"]
OBJECT_STORE = 100 * 2**20  # bytes of shared memory a node
PARTS_OF_EACH = 8
SCORER, READER = "ray::MapWorker", "ray::MapBatches(read_file)"


@pytest.fixture(scope="session")
def cluster():
    """A cluster of two nodes with two logical CPUs each, without a dashboard and without reports to anyone."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": OBJECT_STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of two CSV files with bad rows."""
    folder = tmp_path_factory.mktemp("reviews")
    draw = random.Random(0)
    for name in ("a", "b"):
        count = PARTS_OF_EACH * BLOCK_ROWS - 7
        lines = [f"{name}{number},{''.join(draw.choices(WORDS, k=2))}\n" for number in range(count)]
        lines[count // 2] = "one column\n"
        (folder / f"{name}.csv").write_text("number,text\n" + "".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def expected(folder, tiny_model, tmp_path_factory):
    """The lines that the local engine writes for both files: the header, then all rows."""
    lines = []
    for name in ("a", "b"):
        output = tmp_path_factory.mktemp("local") / "out.csv"
        command = ["--model", str(tiny_model), "--file", str(folder / f"{name}.csv"), "--output", str(output)]
        assert application.main(command) == 0
        lines += output.read_bytes().splitlines(keepends=True)[len(lines) > 0 :]
    return lines


@pytest.fixture
def command(cluster, tiny_model, folder):
    """The arguments of a run on the cluster."""
    return [
        *("--model", str(tiny_model), "--file", f"{folder}/*.csv"),
        *("--engine", "ray", "--ray-address", cluster.address, "--actors", "1", "2"),
    ]


def workers(cluster, title):
    """Return the processes of the cluster whose title begins so."""
    raylets = {process.pid for node in cluster.list_all_nodes() for process in _processes(node, "raylet")}
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in raylets and (path / "cmdline").read_text().startswith(title):
                found.append(int(path.name))
    return found


def _processes(node, kind):
    return [each.process for each in node.all_processes.get(kind, [])]


def num_parts(output):
    return len(list(Path(f"{output}.parts").glob("*.part")))


class Killer(threading.Thread):
    """Kills one worker of each title in turn: the first at once, each other one after another part is written."""

    def __init__(self, cluster, output, titles):
        super().__init__(daemon=True)
        self.killed = []
        self._cluster, self._output, self._titles = cluster, output, titles
        self._ended = threading.Event()

    def run(self):
        parts = 0
        for title in self._titles:
            while not (num_parts(self._output) >= parts and (found := workers(self._cluster, title))):
                if self._ended.wait(0.02):
                    return
            os.kill(found[0], signal.SIGKILL)
            self.killed.append(title)
            parts = num_parts(self._output) + 1

    def end(self):
        self._ended.set()
        self.join()


def test_killed_workers_lose_no_row(cluster, command, folder, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # where the parts of an output behind a URI are
    killer = Killer(cluster, tmp_path / "out.csv", [READER, SCORER, SCORER])
    killer.start()
    command[command.index("--file") + 1] = f"{folder.as_uri()}/*.csv"
    status = application.main([*command, "--output", f"{tmp_path.as_uri()}/far/out.csv"])
    killer.end()
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert printed.out == "" and "A worker died or was killed" in printed.err
    assert killer.killed == [READER, SCORER, SCORER]
    assert (tmp_path / "far" / "out.csv").read_bytes().splitlines(keepends=True) == expected
    assert sum(b"the row has 1 column but the header has 2" in line for line in expected) == 2
    assert os.listdir(tmp_path) == ["far"]


def test_a_killed_driver_is_resumed(cluster, command, expected, environment, tmp_path, capsys):
    output = tmp_path / "parts"
    with open(tmp_path / "errors", "wb") as errors:
        run = subprocess.Popen(application_command(*command[1:], "--output", output), stderr=errors, env=environment)
    while num_parts(output) < 2:
        assert run.poll() is None, (tmp_path / "errors").read_text(encoding="utf-8")
        time.sleep(0.01)
    run.kill()
    run.wait()
    done = {path.name: path.stat().st_mtime_ns for path in Path(f"{output}.parts").glob("*.part")}
    assert not output.exists()
    scored = {}
    watcher = threading.Event()

    def watch():
        while not watcher.wait(0.01):
            with contextlib.suppress(OSError):
                for path in Path(f"{output}.parts").glob("*.part"):
                    scored.setdefault(path.name, set()).add(path.stat().st_mtime_ns)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert application.main([*command, "--output", str(output), "--resume"]) == 0
    watcher.set()
    thread.join()
    assert " scored before)" in capsys.readouterr().err
    assert all(scored[name] == {written} for name, written in done.items())
    lines = [file.read_bytes().splitlines(keepends=True) for file in sorted(output.iterdir())]
    assert [file.name for file in sorted(output.iterdir())] == ["part-00000.csv", "part-00001.csv"]
    assert all(part[0] == expected[0] for part in lines)
    assert [line for part in lines for line in part[1:]] == expected[1:]


def test_no_cluster_at_the_address(tiny_model, folder, tmp_path, capsys):
    arguments = ["--model", str(tiny_model), "--file", f"{folder}/a.csv", "--output", str(tmp_path / "out")]
    assert application.main([*arguments, "--engine", "ray", "--ray-address", "127.0.0.1:1"]) == 1
    assert "error: no Ray cluster could be used at 127.0.0.1:1" in capsys.readouterr().err
