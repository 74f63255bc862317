"""The options of scoring on a cluster, and what happens without Ray."""

import pytest

import application
from serving.scoring.cluster import ray_engine


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ray-address", "auto"], "--ray-address needs --file"),
        (["--text", "好", "--engine", "ray"], "--engine needs --file"),
        (["--file", "a.csv", "--ray-address", "auto"], "--ray-address needs --engine ray"),
        (["--file", "a.csv", "--engine", "local", "--actors", "2"], "--actors needs --engine ray"),
        (["--file", "-", "--engine", "ray", "--output", "out"], "cannot read standard input; name files with --file"),
        (["--file", "a.csv", "--engine", "ray", "--output", "o", "--runtime", "keras"], "leave out --runtime keras"),
        (["--file", "a.csv", "--engine", "ray"], "needs --output, a folder or a file"),
        (["--file", "a.csv", "--engine", "ray", "--output", "-"], "needs --output, a folder or a file"),
        (["--file", "a.csv", "--engine", "ray", "--output", "o", "--actors", "1", "2", "3"], "one number, or the"),
        (["--file", "a.csv", "--engine", "ray", "--output", "o", "--actors", "3", "2"], "one number, or the lowest"),
    ],
)
def test_options_that_do_not_fit_are_refused(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        application.main(arguments)
    assert message in capsys.readouterr().err


def test_the_local_engine_can_be_named(tiny_model, tmp_path):
    (tmp_path / "in.txt").write_text("好\n", encoding="utf-8")
    arguments = ["--model", str(tiny_model), "--file", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.csv")]
    assert application.main([*arguments, "--engine", "local"]) == 0
    assert (tmp_path / "out.csv").exists()


def test_without_ray_the_error_says_what_to_install(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ray_engine.importlib.util, "find_spec", lambda name: None)
    arguments = ["--model", str(tiny_model), "--file", "in.txt", "--output", str(tmp_path / "out")]
    assert application.main([*arguments, "--engine", "ray"]) == 1
    assert "--engine ray needs Ray; run `pip install -r requirements-scale.txt`" in capsys.readouterr().err
