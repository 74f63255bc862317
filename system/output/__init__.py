"""What a person sees: text at a terminal, and figures in fonts that have its characters."""
