"""What an adapter adds over the base and over the hint encoder alone, with intervals over several seeds.

Each seed renders pictures of its own, trains on them and draws for them. All arms (base, adapters, the
targets after the autoencoder, the targets) are measured on the same conditions, so every comparison is
paired. `scores` reads what the stage ``evaluate`` wrote and pairs it, `comparison` takes its figures and
intervals (`oft.evaluation.intervals`), `tables` shows them. `flows/trials` makes the runs.
"""
