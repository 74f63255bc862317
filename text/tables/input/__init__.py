"""Input from strangers: text files of any encoding, and limits to what a file can take of the memory."""
