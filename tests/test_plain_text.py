"""Plain text files, with one row a line: reading and writing rows."""

from pathlib import Path

from table_files import write, written

from text.tables import plain_text


class TestReading:
    def test_every_line_is_a_row(self, tmp_path):
        table = plain_text.open_lines(Path(write(tmp_path / "a.txt", '好\n\n"坏,\t\n')), lossless=True)
        assert table.columns == ["text"]
        assert list(table.rows) == [(1, {"text": "好"}, None), (2, {"text": ""}, None), (3, {"text": '"坏,\t'}, None)]


class TestWriting:
    def test_a_row_is_a_line_with_the_text_last(self):
        row = {"id": 7, "text": "好\n\t坏\r", "more": None, "label": "正面", "probability": 0.5}
        assert (
            written("txt", [row, {}], ["id", "text", "more"]).decode() == "7\t\t正面\t0.5\t\t\t好  坏\n\t\t\t\t\t\t\n"
        )
