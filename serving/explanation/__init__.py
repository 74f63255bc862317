"""Explain predictions by the words that influenced them."""
