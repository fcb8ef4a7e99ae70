"""A campaign: episodes drawn from a seed, each a life of real processes under one to four faults at a time."""
