"""The Hugging Face hub: its address, whether it answers, and working offline."""

import contextlib
import threading
from collections.abc import Iterator

from system.libraries import disable_telemetry

PROBE_SECONDS = 5
# HTTP statuses that the libraries consider temporary: they retry six times, for 23 seconds. "Too many requests" is not
# among them, because a hub that sends it does answer, and says when to retry.
TEMPORARY_FAILURES = (408, 500, 502, 503, 504)


def endpoint() -> str:
    """Return the address of the hub: `HF_ENDPOINT` if it is set, else the default."""
    disable_telemetry()
    from huggingface_hub import constants

    return constants.ENDPOINT


def hub_answers(path: str = "") -> bool:
    """Return whether the hub answers one request within `PROBE_SECONDS`. Its libraries would retry for 23 seconds.

    Args:
        path: the path to request. Use the first file to be read, because a proxy may serve a cached front page of a hub
            that it cannot reach.
    """
    disable_telemetry()
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answers = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            response = get_session().head(f"{endpoint()}/{path}", timeout=PROBE_SECONDS)
            answers.append(response.status_code not in TEMPORARY_FAILURES)

    # In a thread, because the time limit of the request does not include the look-up of the host's name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return any(answers)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Make `datasets` use its cache only. The variable HF_HUB_OFFLINE does the same, but is read only at import."""
    disable_telemetry()
    import datasets
    from huggingface_hub import constants

    switches = (constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in switches]
    for module in switches:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(switches, before, strict=True):
            module.HF_HUB_OFFLINE = value
