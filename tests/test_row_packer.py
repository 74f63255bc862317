"""The row packers: every token gets into a row, rows are filled by best fit, and pairs are consecutive texts."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import CLASSIFY, PAD, SEPARATE, chunks_in

from text.tokens.row_packer import MAX_OPEN_ROWS, Borders, PairPacker, RowPacker, borders_of


def packed(packer, documents):
    """Return the rows that the packer makes of documents."""
    rows = [row for ids in documents for row in packer.add(ids, [False] * len(ids))]
    return [*rows, *packer.finish()]


def tokens_of(rows):
    return [[token for token, _ in row] for row in rows]


@pytest.mark.parametrize("max_open_rows", [2, MAX_OPEN_ROWS])
@given(documents=st.lists(st.lists(st.integers(5, 99), max_size=30), max_size=40), max_seq_len=st.integers(3, 12))
def test_every_token_is_in_a_row_in_order(max_open_rows, documents, max_seq_len):
    rows = tokens_of(packed(RowPacker(max_seq_len, CLASSIFY, SEPARATE, max_open_rows), documents))
    assert all(len(row) <= max_seq_len for row in rows)
    longest = max_seq_len - 2
    expected = Counter(tuple(ids[at : at + longest]) for ids in documents for at in range(0, len(ids), longest))
    assert chunks_in([row + [PAD] * (max_seq_len - len(row)) for row in rows]) == expected


@given(documents=st.lists(st.lists(st.integers(5, 99), max_size=30), max_size=40))
def test_no_more_rows_are_open_than_allowed(documents):
    packer = RowPacker(12, CLASSIFY, SEPARATE, max_open_rows=2)
    for ids in documents:
        list(packer.add(ids, [False] * len(ids)))
        assert packer.num_open_rows <= 2
    assert len(list(packer.finish())) <= 2
    assert packer.num_open_rows == 0


def test_a_chunk_goes_into_the_fullest_row_with_room():
    rows = packed(RowPacker(8, CLASSIFY, SEPARATE), ([5] * 4, [6] * 5, [7] * 2, [8]))
    assert tokens_of(rows) == [
        [CLASSIFY, *[6] * 5, SEPARATE],
        [CLASSIFY, *[5] * 4, SEPARATE, 8, SEPARATE],
        [CLASSIFY, 7, 7, SEPARATE],
    ]


def test_a_word_split_between_two_rows_begins_anew():
    rows = list(RowPacker(4, CLASSIFY, SEPARATE).add([5, 6, 7, 8], [False, True, True, True]))
    assert [continues for row in rows for _, continues in row] == [False, False, True, False] * 2


def borders_in(text):
    """Return the sentences and the clauses of a text of which each character is a token."""
    borders = borders_of(text, [(start, start + 1) for start in range(len(text))])
    return [[text[start:end] for start, end in pairwise([0, *kind, len(text)])] for kind in borders]


class TestBorders:
    @pytest.mark.parametrize(
        ("text", "sentences"),
        [
            ("很好。还来！", ["很好。", "还来！"]),
            ("真的吗？！“是。”他说", ["真的吗？！", "“是。”", "他说"]),
            ("等等……算了\n走吧", ["等等……", "算了\n", "走吧"]),
            ("一句话，没有结尾", ["一句话，没有结尾"]),
            ("。", ["。"]),
            ("", [""]),
        ],
    )
    def test_sentences(self, text, sentences):
        assert borders_in(text)[0] == sentences

    @pytest.mark.parametrize(
        ("text", "clauses"),
        [
            ("大，干净；安静", ["大，", "干净；", "安静"]),
            ("价格1,200元,不贵", ["价格1,200元,", "不贵"]),
            ("前台 热情", ["前台 ", "热情"]),
        ],
    )
    def test_clauses(self, text, clauses):
        assert borders_in(text)[1] == clauses

    def test_a_token_across_a_border_belongs_to_what_it_begins_in(self):
        # 很好 。” 走 吧, with whitespace that no token covers
        assert borders_of("很好。” 走吧", [(0, 2), (2, 4), (5, 6), (6, 7)]) == Borders([2], [2])


@st.composite
def documents_with_borders(draw):
    """Documents with tokens that occur nowhere else, and the borders of their sentences and clauses."""
    documents, first = [], 5
    for length in draw(st.lists(st.integers(0, 50), max_size=12)):
        ids = list(range(first, first + length))
        positions = st.sets(st.integers(1, max(length - 1, 1)), max_size=length // 3)
        borders = [sorted(position for position in draw(positions) if position < length) for _ in range(2)]
        documents.append((ids, Borders(*borders)))
        first += length
    return documents


def packed_pairs(documents, max_seq_len):
    """Return the rows that the packer makes of documents, as tokens and the start of the second text."""
    packer = PairPacker(max_seq_len, CLASSIFY, SEPARATE)
    rows = [row for ids, borders in documents for row in packer.add(ids, [True] * len(ids), borders)]
    return [*rows, *packer.finish()]


class TestPairPacker:
    @given(documents=documents_with_borders(), max_seq_len=st.integers(3, 24))
    def test_every_token_is_in_one_row_and_chunks_are_consecutive_text(self, documents, max_seq_len):
        rows = tokens_of(row for row, _ in packed_pairs(documents, max_seq_len))
        assert all(len(row) <= max_seq_len for row in rows)
        chunks = list(chunks_in([row + [PAD] * (max_seq_len - len(row)) for row in rows]).elements())
        assert all(list(chunk) == list(range(chunk[0], chunk[-1] + 1)) for chunk in chunks)
        assert Counter(token for chunk in chunks for token in chunk) == Counter(
            token for ids, _ in documents for token in ids
        )

    @given(documents=documents_with_borders(), max_seq_len=st.integers(5, 24))
    def test_a_pair_is_two_runs_of_sentences_or_clauses_of_one_document(self, documents, max_seq_len):
        document_of = {token: number for number, (ids, _) in enumerate(documents) for token in ids}
        for row, second_start in packed_pairs(documents, max_seq_len):
            if not second_start:
                continue
            tokens = [token for token, _ in row]
            first, second = tokens[1 : second_start - 1], tokens[second_start:-1]
            assert tokens == [CLASSIFY, *first, SEPARATE, *second, SEPARATE]
            assert first and second and second[0] == first[-1] + 1
            assert document_of[first[0]] == document_of[second[-1]]
            ids, borders = documents[document_of[first[0]]]
            start, middle, end = first[0] - ids[0], second[0] - ids[0], second[-1] + 1 - ids[0]
            sentences, clauses = ([border for border in kind if start < border < end] for kind in borders)
            distances = {border: abs(2 * border - start - end) for border in sentences or clauses}
            assert distances[middle] == min(distances.values())
            assert 4 * (end - start) >= max_seq_len, "a shorter pair would be mostly padding"

    def test_a_document_without_a_border_is_packed_as_without_pairs(self):
        documents = [[*range(5, 40)], [*range(40, 47)], [*range(50, 53)]]
        rows = packed_pairs([(ids, Borders([], [])) for ids in documents], 16)
        chunks = [[*range(5, 18)], [*range(18, 31)], [*range(31, 40)], *documents[1:]]
        assert tokens_of(row for row, _ in rows) == tokens_of(packed(RowPacker(16, CLASSIFY, SEPARATE), chunks))
        assert {second_start for _, second_start in rows} == {0}

    def test_as_many_sentences_as_fit_are_divided_near_the_middle(self):
        sentences = Borders([3, 6, 9, 12, 20], [4, 5, 13, 17])
        rows = packed_pairs([(list(range(10, 34)), sentences)], 16)
        assert [(tokens_of([row])[0], second_start) for row, second_start in rows] == [
            ([CLASSIFY, *range(10, 16), SEPARATE, *range(16, 22), SEPARATE], 8),  # four sentences
            ([CLASSIFY, *range(22, 30), SEPARATE, *range(30, 34), SEPARATE], 10),  # the other two
        ]

    def test_a_sentence_alone_is_divided_between_clauses(self):
        rows = packed_pairs([(list(range(10, 22)), Borders([], [2, 7, 10]))], 16)
        assert [(tokens_of([row])[0], second_start) for row, second_start in rows] == [
            ([CLASSIFY, *range(10, 17), SEPARATE, *range(17, 22), SEPARATE], 9)
        ]

    def test_no_text_begins_inside_a_word(self):
        [(row, second_start)] = packed_pairs([(list(range(10, 20)), Borders([5], []))], 16)
        assert [position for position, (_, continues) in enumerate(row) if not continues] == [0, 1, 6, 7, 12]
        assert second_start == 7
