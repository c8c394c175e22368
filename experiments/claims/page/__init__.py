"""The evidence as one self-contained page: answers first, then what they rest on.

`scales` lays figures on axes, `charts` makes what answers the pointer, `galleries` takes in the pictures,
`views` brings findings into the shapes that the template takes, `render` writes the file. Its words stand in
page.html.
"""

from experiments.claims.page.render import render_page

__all__ = ["render_page"]
