"""The nouns every room shares: frozen values without I/O."""
