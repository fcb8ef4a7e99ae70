"""What a played demo, a plan or a simulation is told as: its record, the tables on the screen, the page with plots."""
