"""Studies: several fine-tunings that are alike but for one thing, and one table of their metrics."""
