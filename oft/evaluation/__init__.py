"""One file per metric: ``extract_*`` turns pictures into features (torch), ``compute_*`` is numpy arithmetic.

Import the metric's own file: this package imports nothing, so that arithmetic never waits for torch.
"""
