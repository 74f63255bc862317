"""Whether the Hugging Face hub answers, and working without it."""

import contextlib
import threading
from collections.abc import Iterator

from system.libraries import disable_telemetry

PROBE_SECONDS = 5
# What the libraries take for a passing failure and try six times, for 23 seconds. A hub that sends "too many requests"
# does answer, and says when to come back.
PASSING_FAILURES = (408, 500, 502, 503, 504)


def endpoint() -> str:
    """Return the address of the hub, `HF_ENDPOINT` where that is set."""
    disable_telemetry()
    from huggingface_hub import constants

    return constants.ENDPOINT


def hub_answers(path: str = "") -> bool:
    """Return whether the hub answers one request within seconds; its libraries would go on trying for 23 seconds.

    Args:
        path: what to ask for: the first file that is going to be read, because a proxy may hand out the front page of a
            hub that it does not reach.
    """
    disable_telemetry()
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answers = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            response = get_session().head(f"{endpoint()}/{path}", timeout=PROBE_SECONDS)
            answers.append(response.status_code not in PASSING_FAILURES)

    # In a thread of its own, because the time limit does not cover the look-up of the host's name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return any(answers)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Make `datasets` go straight to its cache, as HF_HUB_OFFLINE=1 does, which is read only at import."""
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
