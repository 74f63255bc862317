"""Which words pushed a verdict, and how that is shown."""
