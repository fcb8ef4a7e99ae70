"""What the rules would have done to one's own positions: a history over forks, with the real keeper and without."""
