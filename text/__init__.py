"""Texts, from files, folders and the hub to the integers that the network reads."""
