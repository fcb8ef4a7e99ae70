"""The project's figures, measured beside what others offer for the same job; `python -m bench`, see docs/performance.md."""
