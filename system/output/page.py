"""HTML pages that need no other file, and that run nothing but their own script."""

import base64
import hashlib
import html
import string

from system.output.display import printable

PAGE = string.Template("""<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:$script_source">
<title>$title</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; }
body { color: #222; background: #fff; }
p { overflow-wrap: anywhere; }
$style
</style>
</head>
<body>
$body
$script
</body>
</html>
""")


def escaped(text: object, keep: str = "") -> str:
    """Return a text from a stranger as HTML: control characters and halves of surrogate pairs are spelt out.

    Args:
        text: the text, or what `str` makes of it.
        keep: control characters to leave as they are, such as a newline.
    """
    spelt_out = printable(str(text), keep).encode("utf-8", "backslashreplace").decode("utf-8")
    return html.escape(spelt_out)


def page(title: str, body: str, style: str = "", *, language: str = "en", script: str = "") -> str:
    """Return an HTML page, whose content security policy lets it load nothing and run one script at most.

    Args:
        title: plain text.
        body: HTML; the caller has escaped the texts in it.
        style: CSS, beyond that of every page.
        language: the language of the page's own words, such as "zh".
        script: JavaScript, the only one that a browser runs on the page: the policy names its hash.
    """
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return PAGE.substitute(
        language=language,
        title=escaped(title),
        style=style.strip(),
        body=body.strip(),
        script=f"<script>{script}</script>" if script else "",
        script_source=f"; script-src 'sha256-{script_hash}'" if script else "",
    )
