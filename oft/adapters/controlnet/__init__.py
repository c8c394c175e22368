"""ControlNet (arXiv 2302.05543) as a kind of adapter."""
