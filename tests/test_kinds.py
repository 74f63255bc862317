"""The kinds of table files: round trips of any text through each of them, random bytes, and suffixes."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from table_files import ADDED_TYPES, csv_of, labelled_rows, write

from serving.scoring.columns import PREDICTION_TYPES
from system.errors import InputError
from text.corpus import iter_texts
from text.sources import CORPUS_SUFFIXES, read_labelled
from text.tables import kinds
from text.tables.kinds import KIND_NAMES, KINDS, TABLE_SUFFIXES, kind_of, open_table

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=8)
LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\t\n\r"'), max_size=30),
    min_size=1,
    max_size=8,
)
QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_read_back(path, texts):
    """Check that every text is read back equal, and that every row is usable or has a problem."""
    if not any(text.strip() for text in texts):
        with pytest.raises(InputError, match="has no usable rows: "):
            read_labelled(path)
        return
    labelled = read_labelled(path)
    assert labelled.texts == texts
    assert labelled.usable.sum() + len(labelled.problems) == len(texts)
    for index, text in enumerate(texts):
        assert labelled.labels[index] == (index % 2 if text.strip() else -1)


class TestRoundTrips:
    @QUICK
    @given(texts=TEXTS, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]))
    def test_any_text_in_csv(self, tmp_path, texts, encoding):
        content = csv_of([("text", "label"), *labelled_rows(texts)])
        assume(encoding != "gb18030" or not is_utf8(content.encode("gb18030")))
        check_read_back(write(tmp_path / "a.csv", content, encoding), texts)

    @QUICK
    @given(texts=LINES, encoding=st.sampled_from(["utf-8", "utf-8-sig"]))
    def test_any_text_in_tsv(self, tmp_path, texts, encoding):
        lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in labelled_rows(texts))]
        check_read_back(write(tmp_path / "a.tsv", "\n".join(lines), encoding), texts)

    @QUICK
    @given(texts=TEXTS, ascii_only=st.booleans())
    def test_any_text_in_jsonl(self, tmp_path, texts, ascii_only):
        objects = [{"text": text, "label": label} for text, label in labelled_rows(texts)]
        content = "\n".join(json.dumps(each, ensure_ascii=ascii_only) for each in objects)
        check_read_back(write(tmp_path / "a.jsonl", content), texts)

    @QUICK
    @given(texts=TEXTS)
    def test_any_text_in_parquet(self, tmp_path, texts):
        table = pyarrow.table({"text": texts, "label": [label for _, label in labelled_rows(texts)]})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        check_read_back(tmp_path / "a.parquet", texts)


def is_utf8(content):
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_documents(path):
    return list(iter_texts([path]))


class TestDamage:
    @settings(QUICK, max_examples=200)
    @given(
        content=st.one_of(st.binary(max_size=300), st.text('ab,"\t\n\r{}:1 \0', max_size=80).map(str.encode)),
        header=st.sampled_from([b"", b"text,label\n", b"text\tlabel\n", b'{"text": "a", "label": 1}\n', b"PAR1"]),
        suffix=st.sampled_from(kinds.TABLE_SUFFIXES),
    )
    def test_random_bytes_raise_input_errors_at_most(self, tmp_path, content, header, suffix):
        path = tmp_path / f"random{suffix}"
        path.write_bytes(header + content)
        for read in (read_labelled, read_documents):
            try:
                read(path)
            except InputError as error:
                assert str(path) in str(error)


class TestKinds:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [("a.csv", "csv"), ("a.TSV", "tsv"), ("a.ndjson", "jsonl"), ("a.json", "jsonl"), ("a.b.parquet", "parquet")],
    )
    def test_the_suffix_is_the_kind_unless_one_is_given(self, path, kind):
        assert kind_of(path, None, "--format") == kind
        assert kind_of(path, "txt", "--format") == "txt"

    @pytest.mark.parametrize("path", ["a.xlsx", "a", "csv", "a.csv.gz"])
    def test_an_unknown_suffix_is_an_error(self, path):
        message = f"{path}: unknown kind of file .known kinds: .csv, .*; choose the kind with --format"
        with pytest.raises(InputError, match=message):
            kind_of(path, None, "--format")

    def test_the_command_line_knows_the_same_kinds(self):
        import application

        assert set(application.FILE_KINDS) == set(KIND_NAMES)
        assert PREDICTION_TYPES == ADDED_TYPES

    def test_every_suffix_is_one_of_text_or_table(self, tmp_path):
        assert set(TABLE_SUFFIXES) == {suffix for suffix, kind in KINDS.items() if kind != "txt"}
        assert set(CORPUS_SUFFIXES) == set(KINDS)
        for suffix in set(KINDS) - set(TABLE_SUFFIXES):
            (tmp_path / f"a{suffix}").write_text("text\n好\n", encoding="utf-8")
            with pytest.raises(InputError, match="unknown kind of file"):
                open_table(tmp_path / f"a{suffix}")

    @pytest.mark.parametrize(
        ("kind", "content"),
        [("csv", "text\n好\n"), ("tsv", "text\n好\n"), ("jsonl", '{"text": "好"}'), ("txt", "好")],
    )
    def test_a_given_kind_needs_no_suffix(self, tmp_path, kind, content):
        write(tmp_path / "a", content)
        assert [row.values for row in open_table(tmp_path / "a", kind=kind).rows] == [{"text": "好"}]
