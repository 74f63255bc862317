"""Explain predictions by the words and windows that influenced them."""
