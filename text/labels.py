"""The labels: the words for them."""

POSITIVE, NEGATIVE, UNUSABLE = 1, 0, -1
LABEL_WORDS = {
    **dict.fromkeys(("true", "positive", "pos", "正面", "好评", "好評"), POSITIVE),
    **dict.fromkeys(("false", "negative", "neg", "负面", "負面", "差评", "差評"), NEGATIVE),
}
LABEL_CHARACTERS_SHOWN = 40


def parse_label(value: object) -> tuple[int, str | None]:
    """A label as `POSITIVE` or `NEGATIVE`, or `UNUSABLE` and the reason."""
    # A missing value is None in JSON, nothing in CSV, and NaN, which differs from itself, among floats.
    if value is None or value != value or not str(value).strip():
        return UNUSABLE, "no label"
    word = str(value).strip().lower()
    if word in LABEL_WORDS:
        return LABEL_WORDS[word], None
    try:
        number = float(word)
    except ValueError:
        number = None
    if number in (POSITIVE, NEGATIVE):
        return int(number), None
    return UNUSABLE, f"unknown label '{str(value)[:LABEL_CHARACTERS_SHOWN]}'"
