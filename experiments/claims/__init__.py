"""The paper's claims put to the question: which of them hold in the world at hand, and how sure that is.

`catalogue` lists the experiments, each a family of pipeline runs, `table` keeps every number that they gave
in one tidy table, `statistics` makes paired intervals of it, `verdicts` words the claims by their intervals,
and `page` and `markdown` show them, `numbers` with as many digits as intervals allow. `findings` is all they
show as plain data, which `reading` takes back from its file. What they say is a query of the table; no figure
is typed.

    make evidence
"""
