"""Reschedule: planning again what is not done, with the least change of what stands."""
