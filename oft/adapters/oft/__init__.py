"""Orthogonal finetuning (arXiv 2306.07280): exact rotations of a model's layers, saved as PEFT saves them."""
