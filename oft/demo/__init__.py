"""A page to try a run's adapters side by side (``make demo``); Gradio is in page.py alone."""
