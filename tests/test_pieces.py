"""Pieces of documents: chunks as long as a row allows, and pairs of consecutive texts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import CLASSIFY, SEPARATE, marks_of, tokens_of

from text.packing.pieces import Borders, PieceCutter, borders_of
from text.packing.row_packer import tokens_as_bytes


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


@given(ids=st.lists(st.integers(5, 99), max_size=30), max_seq_len=st.integers(3, 12))
def test_chunks_are_the_document_in_order(ids, max_seq_len):
    pieces = PieceCutter(max_seq_len, CLASSIFY, SEPARATE).chunks(tokens_as_bytes(ids))
    longest = max_seq_len - 2
    expected = [[*ids[start : start + longest], SEPARATE] for start in range(0, len(ids), longest)]
    assert [(tokens_of(tokens), second_start) for tokens, second_start in pieces] == [(each, 0) for each in expected]


def test_a_word_split_between_two_chunks_begins_anew():
    pieces = PieceCutter(4, CLASSIFY, SEPARATE).chunks(tokens_as_bytes([5, 6, 7, 8], [False, True, True, True]))
    assert [marks_of(tokens) for tokens, _ in pieces] == [[False, True, False]] * 2


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


def pieces_of(documents, max_seq_len):
    """Return the pieces of documents, in which all tokens continue a word."""
    cutter = PieceCutter(max_seq_len, CLASSIFY, SEPARATE)
    documents = ((tokens_as_bytes(ids, [True] * len(ids)), borders) for ids, borders in documents)
    return [piece for tokens, borders in documents for piece in cutter.pairs(tokens, borders)]


def pairs_of(documents, max_seq_len):
    return [(tokens_of(tokens), second_start) for tokens, second_start in pieces_of(documents, max_seq_len)]


class TestPairs:
    @given(documents=documents_with_borders(), max_seq_len=st.integers(3, 24))
    def test_every_token_is_in_one_piece_and_texts_are_consecutive(self, documents, max_seq_len):
        texts = []
        for tokens, second_start in pairs_of(documents, max_seq_len):
            assert tokens[-1] == SEPARATE
            if second_start:
                assert len(tokens) <= max_seq_len
                assert (tokens[0], tokens[second_start - 1]) == (CLASSIFY, SEPARATE)
                texts += [tokens[1 : second_start - 1], tokens[second_start:-1]]
            else:
                assert len(tokens) <= max_seq_len - 1
                texts.append(tokens[:-1])
        assert all(text == list(range(text[0], text[-1] + 1)) for text in texts)
        assert [token for text in texts for token in text] == [token for ids, _ in documents for token in ids]

    @given(documents=documents_with_borders(), max_seq_len=st.integers(5, 24))
    def test_a_pair_is_two_runs_of_sentences_or_clauses_of_one_document(self, documents, max_seq_len):
        document_of = {token: number for number, (ids, _) in enumerate(documents) for token in ids}
        for tokens, second_start in pairs_of(documents, max_seq_len):
            if not second_start:
                continue
            first, second = tokens[1 : second_start - 1], tokens[second_start:-1]
            assert first and second and second[0] == first[-1] + 1
            assert document_of[first[0]] == document_of[second[-1]]
            ids, borders = documents[document_of[first[0]]]
            start, middle, end = first[0] - ids[0], second[0] - ids[0], second[-1] + 1 - ids[0]
            sentences, clauses = ([border for border in kind if start < border < end] for kind in borders)
            distances = {border: abs(2 * border - start - end) for border in sentences or clauses}
            assert distances[middle] == min(distances.values())
            assert 4 * (end - start) >= max_seq_len, "a shorter pair would be mostly padding"

    def test_a_document_without_a_border_makes_no_pair(self):
        pieces = pairs_of([(list(range(5, 40)), Borders([], [])), ([50, 51], Borders([], []))], 16)
        chunks = [[*range(5, 18)], [*range(18, 31)], [*range(31, 40)], [50, 51]]
        assert pieces == [([*chunk, SEPARATE], 0) for chunk in chunks]

    def test_as_many_sentences_as_fit_are_divided_near_the_middle(self):
        sentences = Borders([3, 6, 9, 12, 20], [4, 5, 13, 17])
        assert pairs_of([(list(range(10, 34)), sentences)], 16) == [
            ([CLASSIFY, *range(10, 16), SEPARATE, *range(16, 22), SEPARATE], 8),  # four sentences
            ([CLASSIFY, *range(22, 30), SEPARATE, *range(30, 34), SEPARATE], 10),  # the other two
        ]

    def test_a_sentence_alone_is_divided_between_clauses(self):
        assert pairs_of([(list(range(10, 22)), Borders([], [2, 7, 10]))], 16) == [
            ([CLASSIFY, *range(10, 17), SEPARATE, *range(17, 22), SEPARATE], 9)
        ]

    def test_no_text_begins_inside_a_word(self):
        [(tokens, second_start)] = pieces_of([(list(range(10, 20)), Borders([5], []))], 16)
        assert [position for position, mark in enumerate(marks_of(tokens)) if not mark] == [0, 1, 6, 7, 12]
        assert second_start == 7
