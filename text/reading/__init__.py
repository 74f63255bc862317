"""Reading: what lies in files or on the hub, as texts and labels, and files written whole or not at all."""
