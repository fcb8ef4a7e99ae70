"""What a played demo is told as: its record, the tables on the screen, the page with plots."""
