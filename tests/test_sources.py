"""Labelled texts and documents: their sources, columns, labels and hashes."""

import json
import os
import tracemalloc

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from table_files import write

from system.errors import InputError
from text.corpus import corpus_files, iter_texts, num_lines
from text.dataset.draws.drawing import train_test_split
from text.sources import LABEL_COLUMNS, TEXT_COLUMNS, read_labelled
from text.tables.kinds import open_table
from text.tables.rows import choose_column


class TestLabels:
    @pytest.mark.parametrize(
        ("written", "label"),
        [
            *((word, 1) for word in ("1", "1.0", " 1 ", "True", "positive", "POS", "正面", "好评", "好評")),
            *((word, 0) for word in ("0", "0.0", "-0", "FALSE", "Negative", "neg", "负面", "負面", "差评")),
        ],
    )
    def test_a_known_word_is_accepted_in_csv(self, tmp_path, written, label):
        assert read_labelled(write(tmp_path / "a.csv", f"text,label\n好,{written}\n")).labels.tolist() == [label]

    @pytest.mark.parametrize(("value", "label"), [(1, 1), (0, 0), (1.0, 1), (True, 1), (False, 0), ("pos", 1)])
    def test_a_known_value_is_accepted_in_json(self, tmp_path, value, label):
        content = json.dumps({"text": "好", "label": value})
        assert read_labelled(write(tmp_path / "a.jsonl", content)).labels.tolist() == [label]

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("3", "only 1 row has the label '3'"),
            (2, "only 1 row has the label '2'"),
            (-1, "only 1 row has the label '-1'"),
            (0.5, "only 1 row has the label '0.5'"),
            ("nan", "only 1 row has the label 'nan'"),
            ([1], "the label is not a single value but a list; --multi-label reads lists"),
            ({"a": 1}, "the label is not a single value"),
            (None, "no label"),
            (float("nan"), "no label"),
            (" ", "no label"),
        ],
    )
    def test_another_value_makes_the_row_unusable(self, tmp_path, value, problem):
        lines = [json.dumps({"text": "好", "label": each}) for each in (1, value)]
        labelled = read_labelled(write(tmp_path / "a.jsonl", "\n".join(lines)))
        assert labelled.problems == {1: f"row 2: {problem}"}
        assert labelled.labels.tolist() == [1, -1]
        assert labelled.texts == ["好", "好"]

    def test_missing_values_of_parquet_make_the_row_unusable(self, tmp_path):
        table = pyarrow.table({"text": ["好", None, "坏"], "label": [1.0, 0.0, None]})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        labelled = read_labelled(tmp_path / "a.parquet")
        assert labelled.labels.dtype == np.int8
        assert labelled.problems == {1: "row 2: the text is empty", 2: "row 3: no label"}

    def test_without_a_usable_row_the_error_names_reasons_and_labels(self, tmp_path):
        problems = "row 2: only 1 row has the label '5'; row 3: the text is empty"
        message = f"no usable rows: 2 rows, 2 unusable: {problems} .accepted labels: 1, .*差评"
        with pytest.raises(InputError, match=message):
            read_labelled(write(tmp_path / "a.csv", "text,label\n好,5\n,1\n"))


class TestColumns:
    @pytest.mark.parametrize("text_name", [*TEXT_COLUMNS, "TEXT", " Review "])
    @pytest.mark.parametrize("label_name", [*LABEL_COLUMNS, "Label"])
    def test_they_are_found_by_their_usual_names(self, tmp_path, text_name, label_name):
        path = write(tmp_path / "a.csv", f"id,{label_name},{text_name}\n7,1,好\n")
        assert read_labelled(path).texts == ["好"]

    def test_named_columns_come_first(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label,正文,分\n好,1,坏,0\n")
        labelled = read_labelled(path, text_column="正文", label_column="分")
        assert (labelled.texts, labelled.labels.tolist()) == (["坏"], [0])

    def test_a_missing_column_is_an_error_with_the_usual_names(self, tmp_path):
        path = write(tmp_path / "a.csv", "正文,label\n好,1\n")
        usual = "text, review, text_a, content, sentence, comment, 评论, 评价, 内容"
        message = f"no text column .usual names: {usual}.; its columns are '正文', 'label'; name one with --text-column"
        with pytest.raises(InputError, match=message):
            read_labelled(path)
        with pytest.raises(InputError, match="no label column .usual names: label, .*, 标签, 情感.; .*--label-column"):
            read_labelled(write(tmp_path / "b.csv", "text;label\n好;1\n"), text_column="text;label")
        with pytest.raises(InputError, match="no column 'body'.*--text-column"):
            read_labelled(path, text_column="body")

    def test_a_repeated_column_is_an_error(self, tmp_path):
        with pytest.raises(InputError, match="more than one text column"):
            read_labelled(write(tmp_path / "a.csv", "text,text,label\n好,坏,1\n"))

    def test_a_column_or_else_the_usual_one_is_read(self, tmp_path):
        (tmp_path / "a.csv").write_text("text,words\n不是,第一\n", encoding="utf-8")
        (tmp_path / "b.csv").write_text("n,review\n1,第二\n", encoding="utf-8")
        (tmp_path / "c.txt").write_text("第三\n", encoding="utf-8")
        sources = sorted(tmp_path.iterdir())
        assert list(iter_texts(sources, "words", or_usual=True)) == ["第一", "第二", "第三"]
        with pytest.raises(InputError, match="words"):
            list(iter_texts(sources, "words"))

    @pytest.mark.parametrize("content", [b"PK\3\4\x14\0\6\0,\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff"])
    @pytest.mark.parametrize("lossless", [True, False])
    def test_a_file_that_is_not_text_is_called_so(self, tmp_path, content, lossless):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(InputError, match="a.csv .*not .*text.* NUL bytes"):
            choose_column(open_table(tmp_path / "a.csv", lossless=lossless), None, TEXT_COLUMNS, "text")

    def test_a_stray_nul_byte_does_not_hide_the_columns(self, tmp_path):
        with pytest.raises(InputError, match="no text column"):
            read_labelled(write(tmp_path / "a.csv", "正文,label\n好\0,1\n"))

    def test_a_json_row_without_the_column_says_so(self, tmp_path):
        path = write(tmp_path / "a.jsonl", '{"text": "好", "label": 1}\n{"label": 1}\n{"text": null, "label": 1}\n')
        assert read_labelled(path).problems == {1: "row 2: the row has no column 'text'", 2: "row 3: the text is empty"}
        assert list(iter_texts([path])) == ["好"]

    def test_a_json_column_that_the_first_line_lacks_is_found(self, tmp_path):
        path = write(tmp_path / "a.json", '{"text": "好"}\n{"text": "坏", "label": 0}')
        assert read_labelled(path).labels.tolist() == [-1, 0]


class TestSources:
    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.xlsx", "", "a.xlsx: unknown kind of file; its name must end with one of .csv, .tsv, "),
            ("a.csv", "", "a.csv is empty; its first row must name the columns"),
            (
                "a.csv",
                '"text,label\n好,1',
                "a.csv, row 1: a quotation mark is never closed; this row must name the col",
            ),
            ("a.jsonl", "\n\n", "a.jsonl has nothing to read .no values.; each line must be a JSON object"),
            ("a.jsonl", "[1]", "a.jsonl has nothing to read .row 1: not a JSON object."),
        ],
    )
    def test_a_file_without_a_table_is_an_error(self, tmp_path, name, content, message):
        with pytest.raises(InputError, match=message):
            read_labelled(write(tmp_path / name, content))

    @pytest.mark.parametrize("source", ["missing.csv", "reviews/missing.csv", "x" * 5000])
    def test_a_missing_file_is_an_error(self, source):
        with pytest.raises(InputError, match=f"there is no file or folder {source}; give --dataset a path, a hub id"):
            read_labelled(source)

    def test_the_sample_has_both_labels(self):
        labelled = read_labelled("sample")
        assert len(labelled.texts) >= 420
        assert not labelled.problems
        assert set(labelled.labels) == {0, 1}

    def test_the_hash_depends_on_texts_and_labels(self, tmp_path):
        contents = ["好,1\n坏,0\n", "好,1\n坏,1\n", "好坏,1\n不,0\n", "好,1\n坏不,0\n", "坏,0\n好,1\n"]
        hashes = [
            read_labelled(write(tmp_path / f"{index}.csv", f"text,label\n{content}")).sha256
            for index, content in enumerate(contents)
        ]
        assert len(set(hashes)) == len(contents)
        same_rows = write(tmp_path / "same.tsv", "label\treview\n1\t好\n0\t坏\n", "gb18030")
        assert read_labelled(same_rows).sha256 == hashes[0]

    def test_problems_are_described_in_one_line(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label\n" + "好,1\n" * 1200 + "好,3\n" * 2)
        described = "1,202 rows, 2 unusable: row 1,202: only 2 rows have the label '3'; …"
        assert read_labelled(path).describe_problems(limit=1) == described
        assert read_labelled(write(tmp_path / "b.csv", "text,label\n好,1")).describe_problems() == "1 rows, 0 unusable"

    def test_the_hotel_reviews_are_those_of_the_original(self, shared_data):
        labelled = read_labelled(shared_data / "hotel" / "ChnSentiCorp_htl_all.csv")
        assert labelled.describe_problems() == "7,766 rows, 1 unusable: row 6,376: the text is empty"
        assert (labelled.labels == 1).sum() == 5322
        assert (labelled.labels == 0).sum() == 2443, "and the row without text is the 2,444th negative"
        _, test = train_test_split(len(labelled.texts), test_size=1 / 6, seed=42)
        assert len(test) == 1295
        assert (labelled.labels[test] == 1).sum() == 894


class TestGroups:
    def test_they_are_those_of_a_named_column(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,label,domain\n好,1,film\n坏,0,\n")
        assert read_labelled(path).groups is None
        assert read_labelled(path, group_column="domain").groups == ["film", ""]
        lines = write(
            tmp_path / "a.jsonl", '{"text": "好", "label": 1, "domain": null}\n{"text": "坏", "label": 0, "domain": 3}'
        )
        assert read_labelled(lines, group_column="domain").groups == ["", "3"]
        with pytest.raises(InputError, match="has no column 'topic'.*--group-column"):
            read_labelled(path, group_column="topic")


class TestExclude:
    def test_texts_are_compared_by_their_letters(self, tmp_path):
        corpus = write(tmp_path / "a.txt", "房间 很好！\n房间很好，服务也好\nＷｉＦｉ快\n早餐不错\n")
        test = write(tmp_path / "test.csv", "text,label\n房间很好,1\n“wifi 快”。,1\n")
        assert list(iter_texts([corpus], exclude=[test])) == ["房间很好，服务也好", "早餐不错"]
        assert len(list(iter_texts([corpus], exclude=[]))) == 4

    def test_the_lines_of_a_text_are_left_out_too(self, tmp_path):
        corpus = write(tmp_path / "a.txt", "很好\n房间很好服务也好早餐也很好\n别的\n！！\n😀\n")
        test = write(tmp_path / "test.csv", 'text,label\n"很好\n房间很好，服务也好，早餐也很好。",1\n！！,0\n')
        assert list(iter_texts([corpus], exclude=[test])) == ["很好", "别的", "😀"]

    def test_the_usual_column_is_read_where_the_corpus_has_another(self, tmp_path):
        corpus = write(tmp_path / "a.csv", "body,text\n房间很好,标题\n早餐不错,标题\n")
        test = write(tmp_path / "test.csv", "text,label\n早餐不错,1\n")
        assert list(iter_texts([corpus], text_column="body", exclude=[test])) == ["房间很好"]

    def test_a_missing_source_is_an_error(self, tmp_path):
        with pytest.raises(InputError, match="there is no file or folder"):
            iter_texts(["sample"], exclude=[str(tmp_path / "none.txt")])


class TestDocuments:
    def test_every_kind_of_file_is_read(self, tmp_path):
        write(tmp_path / "a.txt", "第一\r\n\n  \n第二\n", "gb18030")
        write(tmp_path / "b.csv", 'id,content\n1,"第\n三"\n2,\n')
        write(tmp_path / "deeper.tsv", "text\n第四\n")
        (tmp_path / "c").mkdir()
        write(tmp_path / "c" / "d.jsonl", '{"text": "第五"}\n')
        pyarrow.parquet.write_table(pyarrow.table({"text": ["第六"]}), tmp_path / "e.parquet")
        write(tmp_path / "notes.md", "不读")
        names = ["a.txt", "b.csv", "c/d.jsonl", "deeper.tsv", "e.parquet"]
        assert corpus_files([tmp_path]) == [tmp_path / name for name in names]
        assert list(iter_texts([tmp_path])) == ["第一", "第二", "第\n三", "第五", "第四", "第六"]

    def test_sources_are_read_in_their_order(self, tmp_path):
        for name in "ab":
            write(tmp_path / f"{name}.txt", f"{name}\n")
        assert list(iter_texts([tmp_path / "b.txt", tmp_path / "a.txt"])) == ["b", "a"]
        assert list(iter_texts([f"{tmp_path}/*.txt"])) == ["a", "b"]

    def test_a_named_text_column_is_read(self, tmp_path):
        path = write(tmp_path / "a.csv", "text,body\n标题,正文\n")
        assert list(iter_texts([path], text_column="body")) == ["正文"]
        with pytest.raises(InputError, match="no column 'x'.*--text-column"):
            list(iter_texts([path], text_column="x"))

    def test_rows_that_cannot_be_read_are_reported(self, tmp_path, caplog):
        path = write(tmp_path / "a.csv", 'text,label\n好,1\n,1\n坏\n"好"的,1\n')
        assert list(iter_texts([path])) == ["好"]
        assert caplog.messages == [f"{path}: 2 rows left out, first: row 4: the row has 1 column but the header has 2"]

    @pytest.mark.parametrize(
        ("name", "header", "row"),
        [
            ("a.txt", "", "{}"),
            ("a.csv", "text\n", '"{}"'),
            ("a.tsv", "text\n", "{}"),
            ("a.jsonl", "", '{{"text":"{}"}}'),
        ],
    )
    def test_memory_is_constant(self, tmp_path, name, header, row):
        path = write(tmp_path / name, header + (row.format("好" * 1000) + "\n") * 5000)
        tracemalloc.start()
        assert sum(1 for _ in iter_texts([path])) == 5000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 0.4 * os.path.getsize(path)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("*.txt", "has no file to read"),
            ("", "has no file to read; the names of corpus files end in .txt, .csv"),
            ("missing.txt", "there is no file or folder .*missing.txt; give --corpus a path"),
        ],
    )
    def test_a_source_without_files_is_an_error(self, tmp_path, source, message):
        for read in (iter_texts, corpus_files):
            with pytest.raises(InputError, match=message):
                read([f"{tmp_path}/{source}"])

    def test_hub_ids_have_no_files(self, tmp_path):
        path = write(tmp_path / "a.txt", "好")
        assert corpus_files(["wikimedia/wikipedia:20231101.zh", path]) == [tmp_path / "a.txt"]

    def test_the_lines_of_text_files_are_counted(self, tmp_path):
        write(tmp_path / "a.txt", "第一\r\n\n第二")
        write(tmp_path / "b.txt", "第三\n", "gb18030")
        assert num_lines([tmp_path / "b.txt", tmp_path]) == 5
        write(tmp_path / "c.csv", "text\n好\n")
        assert num_lines([tmp_path]) is None
        assert num_lines([tmp_path / "a.txt", "wikimedia/wikipedia:20231101.zh"]) is None

    def test_the_sample_has_one_document_per_line(self):
        texts = list(iter_texts(["sample"]))
        assert len(texts) > 100
        assert all(text.strip() and "\n" not in text for text in texts)
