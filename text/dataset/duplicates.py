"""Texts that occur more than once: in several splits or sets, with contradicting labels, or again and again."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from system.output.display import progress
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.origins import TEST

NOT_A_LETTER = re.compile(r"[\W_]+")
SHORTEST_LINE = 12  # letters; shorter lines, such as "很好", occur in many texts
EXAMPLES_SHOWN = 3

Rows = Mapping[str, np.ndarray]  # the rows of "training", "validation" and "test", as indices


def letters(text: str) -> str:
    """Return the letters and digits of a text, because copies often differ in whitespace, case and punctuation.

    A text without letters and digits is returned without outer whitespace.
    """
    return NOT_A_LETTER.sub("", unicodedata.normalize("NFKC", text).lower()) or text.strip()


def leave_out(documents: Iterable[str], known_texts: Iterable[str]) -> Iterator[str]:
    """Yield the documents that are neither one of `known_texts` nor a line of one, unless the line is short.

    Documents are compared by their letters and digits only.
    """
    known = _digests_with_lines(known_texts)
    return (text for text in documents if text_digest(text) not in known)


def _digests_with_lines(texts: Iterable[str]) -> set[bytes]:
    """Return the digests of texts, and of their lines that are not short."""
    digests = set()
    for text in texts:
        lines = (letters(line) for line in text.splitlines())
        digests |= {text_digest(text), *(_digest(line) for line in lines if len(line) >= SHORTEST_LINE)}
    return digests


def _digest(letters_of_text: str) -> bytes:
    """Return 16 bytes in place of the letters of a text, which would take as much memory as the text."""
    return hashlib.blake2b(letters_of_text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def text_digest(text: str) -> bytes:
    """Return 16 bytes that are equal for texts with the same letters and digits, see `letters`."""
    return _digest(letters(text))


def text_ids(texts: Iterable[str]) -> np.ndarray:
    """Return a number for each text, int64, (texts,): the same for texts with the same letters and digits."""
    numbers = {}
    digests = (text_digest(text) for text in texts)
    return np.array([numbers.setdefault(each, len(numbers)) for each in digests], np.int64)


def describe_duplicates(labelled: LabelledTexts, rows: Rows) -> list[str]:
    """Return a line for each two splits that share texts, and one for texts with contradicting labels."""
    ids = _ids_of_rows(labelled, rows)
    row_name = labelled.origins.row_name
    lines = []
    for later, earlier in (("validation", "training"), ("test", "training"), ("test", "validation")):
        shared = rows[later][np.isin(ids[rows[later]], ids[rows[earlier]])]
        if len(shared):
            row = shared.min()
            twin = rows[earlier][ids[rows[earlier]] == ids[row]].min()
            counted = f"{len(shared):,} of {len(rows[later]):,} {later} texts also occur in {earlier}"
            lines.append(f"{counted}, first: {row_name(row)} = {row_name(twin)}")
    pairs = _contradictions(ids, labelled.labels, _all(rows))
    if len(pairs):
        examples = (
            " ≠ ".join(f"{row_name(row)} {labelled.label_set.name(labelled.labels[row])}".strip() for row in pair)
            for pair in pairs[:EXAMPLES_SHOWN]
        )
        counted = "1 text has" if len(pairs) == 1 else f"{len(pairs):,} texts have"
        lines.append(f"{counted} contradicting labels, first: {'; '.join(examples)}")
    return lines


def drop_duplicates(labelled: LabelledTexts, rows: Rows) -> tuple[Rows, list[str]]:
    """Return the rows that remain without duplicates, in their order, and a line for each split that loses some.

    A text remains in the test split rather than in the validation split, and there rather than in the training split. A
    split keeps the first of equal texts. Texts with contradicting labels leave the training and the validation split.
    An official test file loses no row.
    """
    ids = _ids_of_rows(labelled, rows)
    pairs = _contradictions(ids, labelled.labels, _all(rows))
    kept, lines = {}, []
    for split, later in (("training", ("validation", "test")), ("validation", ("test",)), ("test", ())):
        of_split = rows[split]
        if split == "test" and TEST in labelled.origins.names:
            kept[split] = of_split  # results on it must be comparable with those of others
            continue
        is_later = np.isin(ids[of_split], ids[np.concatenate([of_split[:0], *(rows[each] for each in later)])])
        contradicts = np.isin(ids[of_split], ids[pairs[:, 0]]) & ~is_later & (split != "test")
        is_repeated = ~_is_first(ids[of_split], of_split) & ~is_later & ~contradicts
        kept[split] = of_split[~(is_later | contradicts | is_repeated)]
        reasons = (
            (is_later, f"in {' or '.join(later)} too"),
            (contradicts, "with contradicting labels"),
            (is_repeated, "repeated"),
        )
        if counted := ", ".join(f"{mask.sum():,} {reason}" for mask, reason in reasons if mask.any()):
            count = len(of_split) - len(kept[split])
            lines.append(f"dropped from {split}: {'1 text' if count == 1 else f'{count:,} texts'} ({counted})")
    return kept, lines or ["dropped: nothing"]


def leave_out_evaluated(
    sets: Sequence[LabelledTexts], rows_of_sets: Sequence[Rows], excluded: Iterable[str]
) -> tuple[list[Rows], list[str]]:
    """Return the rows of each set that remain if no text is both learned and evaluated, and a line for each set.

    A training or validation text is left out if it is a test text of any of the sets, or one of `excluded` in the sense
    of `leave_out`; a training text also if it is a validation text of another set.
    """
    tested = set().union(*(_digests(*of_set, "test") for of_set in zip(sets, rows_of_sets, strict=True)))
    validated = [_digests(*of_set, "validation") for of_set in zip(sets, rows_of_sets, strict=True)]
    everywhere = {"in a test split": tested, "in --exclude": _digests_with_lines(excluded)}
    kept_of_sets, lines = [], []
    for number, (labelled, rows) in enumerate(zip(sets, rows_of_sets, strict=True)):
        others = [*validated[:number], *validated[number + 1 :]]
        elsewhere = {"in the validation split of another set": set().union(*others)} if others else {}
        kept, counts = dict(rows), Counter()
        for split, reasons in (("training", everywhere | elsewhere), ("validation", everywhere)):
            texts = (labelled.texts[row] for row in rows[split])
            digests = (text_digest(text) for text in progress(texts, "comparing", " texts", len(rows[split])))
            found = [next((reason for reason in reasons if digest in reasons[reason]), None) for digest in digests]
            kept[split] = rows[split][np.array([reason is None for reason in found], bool)]
            counts.update(filter(None, found))
        kept_of_sets.append(kept)
        total = counts.total()
        lines.append(
            f"left out of training and validation: {'1 text' if total == 1 else f'{total:,} texts'} "
            f"({', '.join(f'{counts[reason]:,} {reason}' for reason in everywhere | elsewhere)})"
        )
    return kept_of_sets, lines


def _digests(labelled: LabelledTexts, rows: Rows, split: str) -> set[bytes]:
    """Return the digests of the texts of a split."""
    return {text_digest(labelled.texts[row]) for row in rows[split]}


def _all(rows: Rows) -> np.ndarray:
    return np.sort(np.concatenate(list(rows.values())))


def _ids_of_rows(labelled: LabelledTexts, rows: Rows) -> np.ndarray:
    """Return the `text_ids` of the rows, int64, (all rows,); -1 for rows in no split."""
    used = _all(rows)
    ids = np.full(len(labelled.texts), -1)
    ids[used] = text_ids(labelled.texts[row] for row in used)
    return ids


def _contradictions(ids: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return two rows of each text with contradicting labels, (texts, 2): its first one, and the first that differs.

    Args:
        ids: (all rows,), see `text_ids`.
        labels: (all rows,) or (all rows, labels).
        rows: the rows to compare, ascending.
    """
    _, first, inverse = np.unique(ids[rows], return_index=True, return_inverse=True)
    first_rows = rows[first[inverse]]
    differs = labels[rows] != labels[first_rows]
    differs = differs.any(axis=tuple(range(1, differs.ndim)))
    first_rows, different = first_rows[differs], rows[differs]
    _, first = np.unique(first_rows, return_index=True)
    return np.stack([first_rows[first], different[first]], axis=1)


def _is_first(ids: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return whether each row is the first one of its text in the data set, bool, (rows,).

    Args:
        ids: the `text_ids` of the rows, (rows,).
        rows: indices in any order.
    """
    order = np.argsort(rows)
    is_first = np.zeros(len(rows), bool)
    is_first[order[np.unique(ids[order], return_index=True)[1]]] = True
    return is_first
