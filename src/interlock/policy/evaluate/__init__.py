"""What conditions and updates compute: patterns, sets, predicates as compiled closures.

A checked tree is compiled once into plain functions of a `Frame`; a decision
runs them. Refuses to decide: verdicts are made in `policy.engine`.

Source: gateway.md, 11.4 to 11.6 and 11.8.
"""
