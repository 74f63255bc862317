"""Files that were made to harm whoever opens them, and what the application needs to refuse them."""
