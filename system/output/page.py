"""HTML pages that need no other file, and that run nothing but their own script."""

import base64
import hashlib
import html
import string

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
        title=html.escape(title),
        style=style.strip(),
        body=body.strip(),
        script=f"<script>{script}</script>" if script else "",
        script_source=f"; script-src 'sha256-{script_hash}'" if script else "",
    )
