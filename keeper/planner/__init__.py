"""Rules worth writing: histories, costs and a tolerance in; a rule, and what it buys and costs, out."""
