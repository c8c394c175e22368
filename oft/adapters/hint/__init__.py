"""The control signal's way in, which adapters of several kinds share, and the kind that is nothing else."""
