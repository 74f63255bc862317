"""How much of a test a model still gets right when its texts are written differently."""
