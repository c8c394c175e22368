"""Speed, memory and accuracy of the adapters against their peers, measured side by side in one run."""

import os

# The profiler behind the memory meter reports every start and stop; it reads this when torch is imported.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
