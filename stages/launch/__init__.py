"""How a stage starts: entry, arguments, paths, the process that stages share, the ranks of a training."""
