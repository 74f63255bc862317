"""What a user sees of a test: the report at the terminal and the plots."""
