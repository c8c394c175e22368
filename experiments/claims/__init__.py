"""The paper's claims, tested: which of them hold in the world at hand, and how sure that is.

`catalogue` lists the experiments, each a family of pipeline runs, `table` keeps every number that they gave
in one tidy table, `statistics` makes paired figures of it, `verdicts` words the claims by their intervals,
and `page` and `markdown` show them, `numbers` with as many digits as intervals allow. `findings` is all they
show as plain data, which `reading` takes back from its file. What they say of the runs is a query of the
table; the paper's figures stand in `statements`.

    make evidence
"""
