"""The table of a `Precompiled` normalizer, as SentencePiece compiles it: where it points, and how far texts grow.

It is the length of a trie in bytes, uint32; the trie, a double array of uint32 as Yata's Darts-clone writes it; and the
replacements, in UTF-8, each with a zero byte at its end. `spm_precompiled`, which the tokenizers library uses, follows
the trie without looking whether it leads out of the table.
"""

import base64

import numpy as np

IS_LEAF = 1 << 31  # of a unit that is the start of a replacement
IS_FAR = 1 << 9  # of a unit whose offset counts blocks of 256 units


def longest_replacement(encoded: str) -> int:
    """Return the length in characters of the longest replacement in a table.

    Args:
        encoded: the table, in base64.

    Raises:
        ValueError: it is damaged.
    """
    table = base64.b64decode(encoded, validate=True)
    size = int.from_bytes(table[:4], "little")
    if not 4 <= size <= len(table) - 4 or size % 4:
        raise ValueError("the length of its trie is wrong")
    units = np.frombuffer(table, "<u4", size // 4, 4)
    replacements = table[4 + size :]
    words = replacements.decode("utf-8").split("\0")  # an error of it is a ValueError
    if words.pop():
        raise ValueError("its last replacement has no end")
    is_leaf = units & IS_LEAF != 0
    starts = units[is_leaf] & ~np.uint32(IS_LEAF)
    if (starts >= len(replacements)).any():
        raise ValueError("it points behind its replacements")
    is_inside_character = np.frombuffer(replacements, np.uint8) & 0xC0 == 0x80
    if is_inside_character[starts].any():
        raise ValueError("it points into the middle of a character")
    offsets = np.where(units & IS_FAR, units >> 10 << 8, units >> 10)
    # From a unit one arrives at the unit itself, moved by its offset, and by any byte.
    reached = (np.arange(len(units), dtype=np.uint32) ^ offsets) | 0xFF
    if (reached[~is_leaf] >= len(units)).any():
        raise ValueError("its trie leads out of the table")
    return max(map(len, words), default=0)
