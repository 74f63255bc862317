"""Whether two sets of texts differ by more than two random samples of one source do.

Two distances are tested by permutation: the Jensen-Shannon divergence of their words (Lin, "Divergence measures based
on the Shannon entropy", 1991), and the squared Mahalanobis distance of the means of their token vectors (Hotelling,
"The generalization of Student's ratio", 1931). The first sees new words, the second many words that change a little in
the same direction, of which it needs fewer texts. Each text counts the same, however long it is.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

# Texts are exchanged in blocks, so that the memory does not grow with the texts. The hash of a text decides on its
# block, because copies of one text say no more than one of them.
NUM_BLOCKS = 200
NUM_PERMUTATIONS = 999
FEWEST_TEXTS, FEWEST_BLOCKS = 50, 20  # of a set: different texts, and blocks with a text; 50 texts fill about 44
SIGNIFICANCE = 0.01  # of the verdict; two tests share it (Bonferroni)
# Differences below both are no drift, however sure they are. A tenth of the texts from another domain is two to ten
# times as much in the experiments of docs/EXPERIMENTS.md, a fiftieth is less.
LEAST_DIVERGENCE = 0.001  # bits
LEAST_DISTANCE = 0.02
MOST_DIRECTIONS = 64  # of the token vectors; more of them need more texts
LONGEST = 2**16  # characters; longer texts count as texts of this length
DISTINCT_BITS = 2**24
WORDS_AT_ONCE = 128  # of the permutations, which bounds the memory
TOKENS_AT_ONCE = 2**14


class TextSums:
    """The sums over a set of texts from which everything is computed; their size does not depend on the texts.

    Args:
        vectors: the vector of each token, (tokens, directions).
        kept_fraction: the fraction of texts for the test, so that as many texts of both sets take part in it. Copies
            of a text all take part, or all do not.

    Attributes:
        num_texts: the number of texts.
        token_counts: the occurrences of each token, int64, (tokens,).
        lengths: the number of texts of each length in characters, int64, (LONGEST + 1,).
        block_texts: the number of texts in each block of the test, (blocks,).
        shares: the sum over a block's texts of each token's share in the text, float32, (blocks, tokens).
        means: the sum over a block's texts of the mean vector of the text, (blocks, directions).
        products: the sum over all texts of the test of the outer product of that mean, (directions, directions).
    """

    def __init__(self, vectors: np.ndarray, kept_fraction: float = 1.0) -> None:
        vocab_size, num_directions = vectors.shape
        self._vectors, self._kept_fraction = vectors, kept_fraction
        self._seen = np.zeros(DISTINCT_BITS // 8, np.uint8)
        self.num_texts = 0
        self.token_counts = np.zeros(vocab_size, np.int64)
        self.lengths = np.zeros(LONGEST + 1, np.int64)
        self.block_texts = np.zeros(NUM_BLOCKS)
        self.shares = np.zeros((NUM_BLOCKS, vocab_size), np.float32)
        self.means = np.zeros((NUM_BLOCKS, num_directions))
        self.products = np.zeros((num_directions, num_directions))

    def add(self, texts: Sequence[str], token_ids: Sequence[Sequence[int]]) -> None:
        """Add texts.

        Args:
            texts: the texts.
            token_ids: the ids of all tokens of each, without special tokens.
        """
        self.num_texts += len(texts)
        lengths = np.minimum([len(text) for text in texts], LONGEST)
        self.lengths += np.bincount(lengths, minlength=LONGEST + 1)
        hashes = np.array([_hashes(text) for text in texts], np.uint64).reshape(-1, 2)
        bits = hashes[:, 1] % np.uint64(DISTINCT_BITS)
        np.bitwise_or.at(self._seen, bits // 8, (1 << (bits % 8)).astype(np.uint8))
        is_kept = (hashes[:, 1] >> np.uint64(11)) * 2.0**-53 < self._kept_fraction
        blocks = (hashes[:, 0] % np.uint64(NUM_BLOCKS)).astype(np.int64)
        self.block_texts += np.bincount(blocks[is_kept], minlength=NUM_BLOCKS)
        for start, end in _spans(token_ids):
            self._add_tokens(token_ids[start:end], blocks[start:end], is_kept[start:end])

    def _add_tokens(self, token_ids: Sequence[Sequence[int]], blocks: np.ndarray, is_kept: np.ndarray) -> None:
        ids = np.concatenate([np.asarray(each, np.int64) for each in token_ids])
        self.token_counts += np.bincount(ids, minlength=len(self.token_counts))
        counts = np.array([len(each) for each in token_ids])
        is_used = is_kept & (counts > 0)
        ids, counts, blocks = ids[np.repeat(is_used, counts)], counts[is_used], blocks[is_used]
        if not len(counts):
            return
        np.add.at(self.shares, (np.repeat(blocks, counts), ids), np.repeat(1 / counts, counts).astype(np.float32))
        means = np.add.reduceat(self._vectors[ids], np.cumsum(counts) - counts) / counts[:, None]
        np.add.at(self.means, blocks, means)
        self.products += means.T @ means

    @property
    def num_distinct(self) -> int:
        """The number of different texts, estimated by linear counting (Whang and others, 1990)."""
        empty = DISTINCT_BITS - int(np.bitwise_count(self._seen).sum())
        return min(self.num_texts, round(-DISTINCT_BITS * math.log(max(empty, 1) / DISTINCT_BITS)))

    def length_at(self, fraction: float) -> int:
        """Return the length, in characters, that this fraction of the texts does not exceed."""
        return int(np.searchsorted(np.cumsum(self.lengths), fraction * self.num_texts))


def _hashes(text: str) -> tuple[int, int]:
    """Return two random numbers of 64 bits, the same for the same text."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _spans(token_ids: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Return the start and end of parts with about `TOKENS_AT_ONCE` tokens each, or one text with more."""
    parts = np.cumsum([len(ids) for ids in token_ids]) // TOKENS_AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(token_ids)]
    return [(start, end) for start, end in zip(edges, edges[1:], strict=False) if end > start]


def principal_directions(vectors: np.ndarray) -> np.ndarray:
    """Return the vectors of tokens, (tokens, dimensions), in their `MOST_DIRECTIONS` directions of most variance."""
    vectors = np.asarray(vectors, np.float32)
    if vectors.shape[1] <= MOST_DIRECTIONS:
        return vectors
    centered = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)  # in ascending order of variance
    return centered @ directions[:, -MOST_DIRECTIONS:]


class Selection:
    """A random sample of known size from items that come one by one.

    Knuth, "The Art of Computer Programming", volume 2, section 3.4.2, algorithm S.

    Args:
        total: the number of items.
        wanted: the number of those to take.
        seed: of the random numbers.
    """

    def __init__(self, total: int, wanted: int, seed: str) -> None:
        self._remaining, self._wanted, self._rng = total, wanted, random.Random(seed)

    def of(self, items: Iterable[str]) -> Iterator[str]:
        """Yield those of the next items that are in the sample."""
        for item in items:
            is_taken = self._rng.random() * self._remaining < self._wanted
            self._remaining -= 1
            self._wanted -= is_taken
            if is_taken:
                yield item


class Distance(NamedTuple):
    """A distance of two sets, beside that of random halves of both together.

    Attributes:
        observed: the distance.
        expected: its mean if texts are exchanged at random.
        p_value: how often it is then at least as large, 0..1.
    """

    observed: float
    expected: float
    p_value: float

    @property
    def excess(self) -> float:
        """What is left of the distance without that of random halves."""
        return self.observed - self.expected


class WordShare(NamedTuple):
    """A token whose share differs: its id, its part of the divergence in bits, and its mean share of a text in both."""

    token: int
    bits: float
    reference: float
    current: float


class Drift(NamedTuple):
    """The difference of two sets of texts.

    Attributes:
        num_compared: the number of texts of both sets that the test compares.
        words: the Jensen-Shannon divergence, in bits, 0..1.
        vectors: the squared Mahalanobis distance of the mean token vectors.
        contributions: the tokens with the largest part of the divergence, the largest first.
    """

    num_compared: tuple[int, int]
    words: Distance
    vectors: Distance
    contributions: list[WordShare]

    @property
    def p_value(self) -> float:
        """That of both tests together (Bonferroni)."""
        return min(1.0, 2 * min(self.words.p_value, self.vectors.p_value))

    @property
    def is_significant(self) -> bool:
        """Whether random halves would hardly ever differ as much."""
        return self.p_value <= SIGNIFICANCE

    @property
    def is_drift(self) -> bool:
        """Whether a distance is both significant and large enough to matter."""
        tested = ((self.words, LEAST_DIVERGENCE), (self.vectors, LEAST_DISTANCE))
        return any(2 * each.p_value <= SIGNIFICANCE and each.excess >= least for each, least in tested)


def measure_drift(reference: TextSums, current: TextSums, num_words: int, seed: int) -> Drift:
    """Return how much two sets of texts differ, and how much random halves of them do.

    Args:
        reference: the sums of one set.
        current: those of the other set, with the same vectors.
        num_words: the number of `contributions`.
        seed: of the permutations.

    Raises:
        ValueError: a set has no text in the test.
    """
    block_texts = np.concatenate([reference.block_texts, current.block_texts])
    if not (reference.block_texts.any() and current.block_texts.any()):
        raise ValueError("both sets need texts")
    rng, halves = np.random.default_rng(seed), np.zeros((1 + NUM_PERMUTATIONS, len(block_texts)))
    halves[0, :NUM_BLOCKS] = 1  # the sets themselves
    # Only blocks of the same number are exchanged: they hold the same ones of the texts that both sets have.
    is_first = rng.random((NUM_PERMUTATIONS, NUM_BLOCKS)) < 0.5
    halves[1:] = np.concatenate([is_first, ~is_first], axis=1)
    first, second = halves @ block_texts, (1 - halves) @ block_texts
    halves = halves[(first > 0) & (second > 0)]
    bits, shares = _word_bits(reference, current)
    words = [token for token in np.argsort(-bits, kind="stable")[:num_words].tolist() if bits[token] > 0]
    contributions = [WordShare(token, float(bits[token]), *shares[:, token].tolist()) for token in words]
    return Drift(
        num_compared=(int(reference.block_texts.sum()), int(current.block_texts.sum())),
        words=_distance(_divergences(reference, current, halves)),
        vectors=_distance(_vector_distances(reference, current, halves)),
        contributions=contributions,
    )


def _distance(values: np.ndarray) -> Distance:
    """Return the first of some distances, compared with the others."""
    observed, others = values[0], values[1:]
    # Rounding must not make the distance of the same sets smaller than itself.
    as_large = np.count_nonzero(others >= observed * (1 - 1e-9))
    return Distance(float(observed), float(others.mean()), float((1 + as_large) / len(values)))


def _divergences(reference: TextSums, current: TextSums, halves: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence in bits, (halves,), between some blocks and the others."""
    divergences = np.zeros(len(halves))
    num_words = reference.shares.shape[1]
    sums = np.concatenate([each.shares.sum(axis=1, dtype=np.float64) for each in (reference, current)])
    totals = np.maximum(np.stack([halves @ sums, (1 - halves) @ sums]), np.finfo(float).tiny)
    for start in range(0, num_words, WORDS_AT_ONCE):
        columns = slice(start, start + WORDS_AT_ONCE)
        shares = np.concatenate([each.shares[:, columns] for each in (reference, current)]).astype(np.float64)
        shares = shares[:, shares.any(axis=0)]
        first = halves @ shares
        second = np.maximum(shares.sum(axis=0) - first, 0)  # the difference of equal sums may be below 0
        divergences += _bits(first / totals[0][:, None], second / totals[1][:, None]).sum(axis=1)
    return divergences


def _word_bits(reference: TextSums, current: TextSums) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of each token in the divergence, (tokens,), and its share in both sets, (2, tokens)."""
    sums = np.stack([each.shares.sum(axis=0, dtype=np.float64) for each in (reference, current)])
    shares = sums / np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    return _bits(*shares), shares


def _bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the part of each word in the Jensen-Shannon divergence of two distributions, in bits."""
    return (_plogp(first) + _plogp(second)) / 2 - _plogp((first + second) / 2)


def _plogp(probabilities: np.ndarray) -> np.ndarray:
    return probabilities * np.log2(probabilities, where=probabilities > 0, out=np.zeros_like(probabilities))


def _vector_distances(reference: TextSums, current: TextSums, halves: np.ndarray) -> np.ndarray:
    """Return the squared Mahalanobis distance, (halves,), between the means of some blocks and of the others."""
    means = np.concatenate([reference.means, current.means])
    block_texts = np.concatenate([reference.block_texts, current.block_texts])
    center = means.sum(axis=0) / block_texts.sum()
    covariance = (reference.products + current.products) / block_texts.sum() - np.outer(center, center)
    variances, directions = np.linalg.eigh(covariance)
    is_varied = variances > max(variances.max(), 0) * 1e-6  # the others are rounding
    whitened = (means - block_texts[:, None] * center) @ (directions[:, is_varied] / np.sqrt(variances[is_varied]))
    first, num_first = halves @ whitened, halves @ block_texts
    differences = first / num_first[:, None] - (whitened.sum(axis=0) - first) / (block_texts.sum() - num_first)[:, None]
    return (differences**2).sum(axis=1)
