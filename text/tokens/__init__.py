"""From a string to integers: tokenizer, windows, packed rows, masked tokens."""
