"""Distributes the units of each content over its days, by one module per strategy."""
