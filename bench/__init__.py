"""The project's figures, measured beside what others offer for the same job; docs/performance.md tells how."""
