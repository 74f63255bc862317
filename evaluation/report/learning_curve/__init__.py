"""The report of a learning curve: its sentences, its plot and its page."""
