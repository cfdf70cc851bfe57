"""A run from its record to its final weights: the parent, the process, the loop, and what they leave on the disk."""
