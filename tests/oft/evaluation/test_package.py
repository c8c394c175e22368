"""The arithmetic starts at once."""

from __future__ import annotations

import subprocess
import sys


def test_arithmetic_imports_no_heavy_library() -> None:
    program = (
        "import sys\n"
        "from oft.evaluation import canny, densepose, diagrams, distribution\n"
        "from oft.evaluation import class_pixels, diversity, intervals, registry, segmentation, similarity\n"
        "heavy = {'torch', 'torchmetrics', 'transformers', 'diffusers'}\n"
        "heavy |= {'cv2', 'scipy', 'sklearn', 'jaxtyping'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
