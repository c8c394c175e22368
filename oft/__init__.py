"""Orthogonal finetuning of text-to-image diffusion models: the library under the pipeline."""

__version__ = "0.1.0"
