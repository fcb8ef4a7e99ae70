"""What acting cost, beside what it was planned to cost."""
