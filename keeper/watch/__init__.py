"""What an operator sees: a page that follows the journal live, and numbers for Prometheus. It decides nothing."""
