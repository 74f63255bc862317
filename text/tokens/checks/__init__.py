"""Look at a tokenizer that somebody else may have written, before anything of it is built or run."""
