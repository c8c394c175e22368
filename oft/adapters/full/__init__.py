"""Finetuning of every weight as a kind of adapter."""
