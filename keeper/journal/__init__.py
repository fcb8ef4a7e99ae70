"""The durable store: what was seen, judged, decided, signed and settled, written before anything leaves."""
