"""Show attention as an HTML page that needs no other file: the flow into the decision, and each layer and head."""

from __future__ import annotations

import html
import json
import os
import string
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from serving.explanation.attention import CAVEAT, Attention
from system.files import write_atomically
from system.output.display import say
from system.output.page import page

MOST_WEIGHTS = 4_000_000  # of a page, which then has about 8 MB
FEWER_TOKENS = 128  # of the grid, where even the means of the heads are more
PARTS = 1000  # the page has weights in thousandths, as whole numbers
WIDEST_ROOMY_GRID = 32  # tokens; the grid of a longer text has smaller cells
STYLE = string.Template("""
h1, h2 { font-size: 1.1em; margin: 0; }
section { border-top: 1px solid #ccc; margin-top: 1em; padding-top: 1em; }
p { margin: .4em 0; }
.note { color: #595959; font-size: .85em; }
.flow { display: flex; flex-wrap: wrap; gap: 3px; padding: 0; }
.flow li { list-style: none; text-align: center; border-radius: 3px; padding: 0 .3em; }
.flow small { display: block; font-size: .7em; }
.scale { display: inline-block; width: 10em; height: .8em; border: 1px solid #ccc; vertical-align: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5em 0; font-size: ${font}px; line-height: 1.1; }
th { font-weight: normal; white-space: nowrap; }
tbody th { text-align: right; padding-right: .4em; }
thead th { padding-bottom: .5em; vertical-align: bottom; }
thead span { writing-mode: vertical-rl; }
tbody td { width: ${cell}px; min-width: ${cell}px; height: ${cell}px; padding: 0; border: 1px solid #eee; }
.chosen { font-weight: bold; color: #005a92; }
output { display: block; min-height: 1.6em; }
""")
BODY = string.Template("""
<h1>$decision</h1>
<p>$text</p>
$window
<section>
<h2>Flow into the decision</h2>
<ol class="flow">
$flow
</ol>
<p class="note">0% <span class="scale" style="background: linear-gradient(to right, #fff, rgb(0 114 178 / .75))"></span>
$highest. If attention made no difference between the tokens, each would have $equal.</p>
<p class="note">$rollout</p>
</section>
<section>
<h2>Attention between the tokens</h2>
<p><label>Layer <select id="layer">$layers</select></label>
<label>Head <select id="head"><option value="mean">mean of all heads</option>$heads</select></label></p>
$left_out
<p class="note">Each row: how much the token on the left attends to each token above; a row sums to
100%. Point to a cell to read its number.</p>
<noscript><p>This grid needs JavaScript.</p></noscript>
<div class="scroll"><table id="grid"></table></div>
<output id="reading"></output>
<p class="note">0% <span class="scale" style="background: linear-gradient(to right, #fff, rgb(0 114 178))"></span> 100%.
The colour in the middle is 25%: it grows with the square root, so that small weights are visible.</p>
</section>
<section class="note">$caveat</section>
<script type="application/json" id="data">$data</script>
""")
SCRIPT = string.Template("""
const { tokens, weights } = JSON.parse(document.getElementById("data").textContent);
const [layer, head, grid, reading] = ["layer", "head", "grid", "reading"].map((id) => document.getElementById(id));
const shade = (weight) => "rgb(0 114 178 / " + Math.sqrt(weight / $parts).toFixed(3) + ")";
const chosen = () => {
  const heads = weights[layer.value];
  if (head.value !== "mean") return heads[head.value];
  return heads[0].map((row, i) => row.map((_, j) => heads.reduce((sum, one) => sum + one[i][j], 0) / heads.length));
};
const header = grid.createTHead().insertRow();
header.insertCell();
const body = grid.createTBody();
const named = (token) => {
  const cell = document.createElement("th");
  cell.appendChild(document.createElement("span")).textContent = token;
  return cell;
};
tokens.forEach((token) => {
  header.append(named(token));
  const row = body.insertRow();
  row.append(named(token));
  tokens.forEach(() => row.insertCell());
});
let pointed = null;
const read = () => {
  grid.querySelectorAll(".chosen").forEach((cell) => cell.classList.remove("chosen"));
  if (!pointed) return;
  const [i, j] = pointed;
  body.rows[i].cells[0].classList.add("chosen");
  header.cells[j + 1].classList.add("chosen");
  const percent = (100 * chosen()[i][j] / $parts).toFixed(1);
  reading.textContent = tokens[i] + " attends to " + tokens[j] + ": " + percent + "%";
};
const show = () => {
  chosen().forEach((row, i) => row.forEach((weight, j) => {
    body.rows[i].cells[j + 1].style.background = shade(weight);
  }));
  read();
};
grid.addEventListener("pointerover", (event) => {
  const cell = event.target.closest("tbody td");
  if (!cell) return;
  pointed = [cell.parentNode.sectionRowIndex, cell.cellIndex - 1];
  read();
});
layer.addEventListener("change", show);
head.addEventListener("change", show);
show();
""").substitute(parts=PARTS)


class Shown(NamedTuple):
    """What a page shows of the weights, since browsers are slow with a page of many megabytes.

    Attributes:
        has_heads: whether it shows each head, or only the mean of the heads of each layer.
        num_tokens: how many tokens are in the grid, the first ones.
        notes: what is left out, as sentences without a full stop.
    """

    has_heads: bool
    num_tokens: int
    notes: list[str]


def save_page(attention: Attention, path: str | os.PathLike) -> None:
    """Write attention to an HTML file, which appears whole or not at all.

    The page of a large network lacks a part of the weights; standard error then says which.

    Raises:
        OutputError: the file cannot be written.
    """
    with write_atomically(path) as file:
        file.write(attention_page(attention))
    for note in shown_weights(attention.weights.shape).notes:
        say(f"note: {note}")


def shown_weights(shape: tuple[int, int, int, int]) -> Shown:
    """Return what a page shows of weights of this shape, (layers, heads, length, length)."""
    num_layers, num_heads, length, _ = shape
    shown = Shown(has_heads=True, num_tokens=length, notes=[])
    count, mean_count = num_layers * num_heads * length**2, num_layers * length**2
    if count > MOST_WEIGHTS and num_heads > 1:
        note = f"{count:,} weights are too many for a page, so it has the mean of the heads of each layer"
        shown = shown._replace(has_heads=False, notes=[note])
    if mean_count > MOST_WEIGHTS:
        note = (
            f"{mean_count:,} weights are too many for a grid, so it has the first {FEWER_TOKENS} of {length} tokens, "
            "and its rows sum to less than 100%"
        )
        shown = shown._replace(num_tokens=FEWER_TOKENS, notes=[*shown.notes, note])
    return shown


def attention_page(attention: Attention) -> str:
    """Return an HTML page with the prediction, the rollout of each token, and the weights of each layer and head.

    `shown_weights` decides which weights it has.
    """
    num_layers, num_heads, length, _ = attention.weights.shape
    shown = shown_weights(attention.weights.shape)
    weights = attention.weights if shown.has_heads else attention.weights.mean(axis=1, keepdims=True)
    thousandths = np.rint(PARTS * weights[..., : shown.num_tokens, : shown.num_tokens]).astype(int)
    data = {"tokens": attention.tokens[: shown.num_tokens], "weights": thousandths.tolist()}
    body = BODY.substitute(
        decision=html.escape(attention.decision),
        text=html.escape(attention.prediction.text),
        window=f'<p class="note">{html.escape(attention.window)}.</p>' if attention.window else "",
        flow="\n".join(_flow(attention.tokens, attention.rollout)),
        highest=f"{attention.rollout.max():.1%}",
        equal=f"{1 / length:.1%}",
        rollout=html.escape(attention.flow_note),
        layers=_options(num_layers),
        heads=_options(num_heads if shown.has_heads else 0),
        left_out="\n".join(f'<p class="note">{note}.</p>' for note in shown.notes),
        caveat=html.escape(CAVEAT),
        # A token may contain "</script>".
        data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
    is_roomy = length <= WIDEST_ROOMY_GRID
    style = STYLE.substitute(cell=22 if is_roomy else 13, font=15 if is_roomy else 11)
    return page("Mini-BERT: attention", body, style, language="zh", script=SCRIPT)


def _flow(tokens: Sequence[str], shares: np.ndarray) -> list[str]:
    """Return an item for each token, with its share as number and colour."""
    return [
        f'<li style="background: rgb(0 114 178 / {0.75 * share / shares.max():.3f})">{html.escape(token)}'
        f"<small>{share:.1%}</small></li>"
        for token, share in zip(tokens, shares.tolist(), strict=True)
    ]


def _options(count: int) -> str:
    return "".join(f'<option value="{index}">{index + 1}</option>' for index in range(count))
