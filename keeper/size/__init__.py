"""How much to do: one file per action, exact integers, no I/O."""
