"""How much a program takes: kills, long load, much data, many processes."""
