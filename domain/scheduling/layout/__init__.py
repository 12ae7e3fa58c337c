"""The layout of a day: the times of its study and review rows, in sessions with pauses."""
