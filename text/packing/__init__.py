"""From documents to full rows of tokens on disk, in one pass, on all cores and in constant memory."""
