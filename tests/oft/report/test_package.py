"""Importing the report is cheap."""

from __future__ import annotations

import subprocess
import sys


def test_import_needs_no_heavy_library() -> None:
    program = (
        "import sys, oft.report\n"
        "heavy = {'torch', 'matplotlib', 'jinja2', 'webdataset', 'cv2', 'scipy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
