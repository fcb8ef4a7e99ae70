"""The chain behind a port: one node, pinned reads, heads."""
