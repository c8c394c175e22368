"""Commands of the command line `oft` that are more than a call: one file each."""
