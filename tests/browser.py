"""A Chromium without a window, for tests of pages as a person sees them."""

import html
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

NAMES = ("chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
# Pages inside of a page, of a given width each, so that narrow ones do not depend on the least width of a window.
FRAMES = """<!doctype html><title>measuring</title>{frames}<output></output>
<script>
addEventListener("load", () => {{
  const widths = [...document.querySelectorAll("iframe")].map((frame) => {{
    const root = frame.contentDocument.documentElement;
    return [root.clientWidth, root.scrollWidth, root.scrollHeight];
  }});
  document.querySelector("output").textContent = JSON.stringify(widths);
}});
</script>"""


def find_browser() -> str:
    """Return the path of a browser; without one skip the test, or fail it in continuous integration."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        message = f"no browser is installed: none of {', '.join(NAMES)} (apt-get install chromium-headless-shell)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return path


def run_browser(path: Path, folder: Path, *options: str) -> str:
    """Open a page; return the document after its scripts, with `--dump-dom`."""
    command = [find_browser(), *OPTIONS, f"--user-data-dir={folder / 'profile'}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


def sizes_of(pages: list[tuple[str, int]], folder: Path) -> list[tuple[int, int, int]]:
    """Return the width of the view, and the width and height of the content of each page at a given width.

    Args:
        pages: HTML and width in pixels.
        folder: for the profile of the browser.
    """
    frames = "\n".join(
        f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{html.escape(content)}"></iframe>'
        for content, width in pages
    )
    outer = folder / "frames.html"
    outer.write_text(FRAMES.format(frames=frames), encoding="utf-8")
    document = run_browser(outer, folder, "--dump-dom", "--virtual-time-budget=20000")
    (measured,) = re.findall(r"<output>(.*?)</output>", document)
    return [tuple(sizes) for sizes in json.loads(measured)]


def count_connections(path: Path, folder: Path) -> int:
    """Return how many connections a browser opens for a page, all of which would go through a proxy that refuses."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the server is closed
                    return
                connections.append(connection.recv(4096))
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        proxy = f"--proxy-server=http://127.0.0.1:{server.getsockname()[1]}"
        run_browser(path, folder, "--dump-dom", proxy, "--proxy-bypass-list=<-loopback>")
        server.shutdown(socket.SHUT_RDWR)
    return len(connections)


def screenshot(path: Path, folder: Path, width: int, height: int) -> Path:
    """Return a picture of a page."""
    picture = folder / f"{path.stem}-{width}.png"
    run_browser(path, folder, "--hide-scrollbars", f"--window-size={width},{height}", f"--screenshot={picture}")
    return picture
