"""Tables: reading and writing rows, for every kind of file."""
