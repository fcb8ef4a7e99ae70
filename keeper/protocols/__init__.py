"""One file per contract system: what to ask it, how to call it, what its answers mean; bytes in and out, no I/O."""
