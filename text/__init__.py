"""From files, folders and the hub to integers: everything that touches text before the network does."""
