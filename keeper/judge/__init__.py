"""One judgement per rule kind: pure functions over numbers."""
