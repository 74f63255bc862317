"""What is shown of a test: the report at the terminal and the pictures."""
