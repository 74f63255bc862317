"""Why a text is unusable."""

EMPTY = "the text is empty"
NOT_A_STRING = "the text is not a string"
NOT_UNICODE = "the text is not valid Unicode"


def text_problem(value: object) -> str | None:
    """Return why a value is no text that a model can be given, or None if it is one."""
    if value is None:
        return EMPTY
    if not isinstance(value, str):
        return NOT_A_STRING
    if not value.strip():
        return EMPTY
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and no tokenizer takes
        return NOT_UNICODE
    return None
