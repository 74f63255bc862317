"""Comparisons with other tools; each measures all contenders in one run and prints ratios."""
