"""From a string to integers: cleaning, tokenizer, windows, masked tokens."""
