"""The page of a label audit: escaped texts, no script, English or Chinese."""

import html

import pytest

from evaluation.report.page.label_audit_page import DoubtedRow, label_audit_page, reasons_in

ROW = DoubtedRow("<b>.csv", 1234, "<script>alert(1)</script> & 房间\n很好", "负面", '"正面"', 0.0123, "<i>")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_are_escaped_and_there_is_no_script(language):
    page = label_audit_page([ROW], 5000, 321, "label_audit.csv", language)
    assert f'<html lang="{language}">' in page
    assert "<script" not in page and "<i>" not in page and "<b>" not in page
    for shown in (
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp; 房间\n很好",
        "1,234",
        "1.2%",
        "5,000",
        "321",
        "label_audit.csv",
    ):
        assert shown in page
    assert "$" not in page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_command_has_the_path_of_the_table(language):
    page = label_audit_page([ROW], 5000, 321, "reports/label_audit.csv", language)
    assert "--label-corrections reports/label_audit.csv" in page
    page = label_audit_page([ROW], 5000, 321, "my reports/label_audit.csv", language)
    assert "--label-corrections 'my reports/label_audit.csv'" in html.unescape(page)


def test_reasons():
    assert reasons_in("en", is_doubted=True, copy=None, label_of_copy="") == "other rows suggest another label"
    both = reasons_in("en", is_doubted=True, copy="a.csv, 12", label_of_copy="正面")
    assert both == "the same text has the label 正面 in a.csv, 12; other rows suggest another label"
    assert (
        reasons_in("zh", is_doubted=False, copy="a.csv, 12", label_of_copy="正面")
        == "相同的文本在 a.csv, 12 的标签是 正面"
    )
