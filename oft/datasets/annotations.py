"""What the readers' data sets have beside their pictures."""

from __future__ import annotations

from oft.types import Annotation

ADE20K_LABELS = Annotation("ade20k_labels", "labels", num_labels=151)
"""0 = other, 1 to 150 = the classes of ADE20K's scene parsing benchmark."""

DENSEPOSE_PARTS = Annotation("densepose_parts", "labels", channel=2, num_labels=25)
"""0 = background, 1 to 24 = the body's parts; DensePose's maps have them in their third channel."""

FACE_LANDMARKS = Annotation("face_landmarks", "landmarks")
"""iBUG's 68 points."""

CIRCLE_OUTLINES = Annotation("circle_outlines", "picture")
"""White outlines on black (fill50k, Zhang and Agrawala 2023)."""

DEPTH_MAP = Annotation("depth_map", "picture")
"""How near everything is, in grey levels: the lighter, the nearer."""

CONDITIONING_PICTURE = Annotation("conditioning_picture", "picture")
"""Of any kind."""
