"""Which learning rate is best for which size of block, with parameters scaled by it and without.

A base is finetuned by OFT on scenes with inverted colours, which it never draws, from the same pictures,
noise and batches every time; the rates of Adam are powers of two apart. The score of a rate is the loss on
other such scenes under fixed noise. The best rate is the lowest point of the parabola through the lowest
score and its neighbours, over the rate's logarithm. How far Adam's first step moves the base's prediction
stands beside it.
"""
