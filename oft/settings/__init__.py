"""Typed settings: the groups that params.yaml is made of; a component takes its own group alone."""
