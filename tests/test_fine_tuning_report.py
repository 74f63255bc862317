"""The option --report of fine_tuning.py."""

import json
import re

import pytest

import fine_tuning
from system.command_line import parse_plan


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_training_writes_its_page(tiny_pretrained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--epochs", "2", "--head-fit", "epochs"]
    arguments = [*options, "--report", "report.html", "--language", "en"]
    assert fine_tuning.main([*arguments, "--dry-run"]) == 0
    assert "the report page in report.html" in capsys.readouterr().out
    assert not (tmp_path / "report.html").exists()

    assert fine_tuning.main(arguments) == 0
    assert "the report page in report.html" in capsys.readouterr().out.splitlines()[-1]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Tested on 84 texts of sample_reviews.csv" in page
    assert 'id="training"' in page and 'id="robustness"' in page and "<mark" in page
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    for name, of_name in (("Model at 0.5", metrics["test"]["thresholds"]["0.5"]), ("TF-IDF", metrics["baseline"])):
        (accuracy,) = re.findall(rf'<th scope="row">{name}[^<]*</th><td>([\d.]+)%', page)[:1]
        assert float(accuracy) == pytest.approx(100 * of_name["accuracy"], abs=0.06)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "report.html", "--seeds", "2"], "--seeds saves each model and its report in --run-folder: leave"),
        (["--report", "model.keras"], "--report model.keras: the name of a page must end with .html"),
        (["--language", "zh"], "--language is that of --report"),
    ],
)
def test_options_that_do_not_go_together(options, message, capsys):
    with pytest.raises(SystemExit):
        parse_plan(fine_tuning.build_parser(), fine_tuning.PLAN, options)
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_page_that_cannot_be_written_is_noticed_before_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.html").mkdir()
    assert fine_tuning.main(["--dataset", "sample", "--report", "report.html"]) == 1
    assert "report.html: it is a folder" in capsys.readouterr().err
