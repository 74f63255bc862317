"""Whether the Hugging Face hub answers, and working without it."""

import contextlib
import threading
from collections.abc import Iterator

PROBE_SECONDS = 5
# What a proxy answers for a hub that it cannot reach.
GATEWAY_ERRORS = (502, 503, 504)


def endpoint() -> str:
    import huggingface_hub

    return huggingface_hub.constants.ENDPOINT


def hub_answers() -> bool:
    """Whether the hub answers one request at once; `datasets` itself would go on trying for 23 seconds."""
    import huggingface_hub

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    answers = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            response = huggingface_hub.get_session().head(endpoint(), timeout=PROBE_SECONDS)
            answers.append(response.status_code not in GATEWAY_ERRORS)

    # In a thread of its own, because the time limit does not cover the look-up of the host's name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return any(answers)


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Makes `datasets` go straight to its cache, as HF_HUB_OFFLINE=1 does, which is read only at import."""
    import datasets
    import huggingface_hub

    switches = (huggingface_hub.constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in switches]
    for module in switches:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(switches, before, strict=True):
            module.HF_HUB_OFFLINE = value
