"""Score whole files: rows in, the same rows with their predictions out."""
