"""The SQRT language as text: lexer, parser, syntax tree, printer.

Refuses to know what a policy means: names, kinds and contexts are checked by
`policy.checker`, values are computed by `policy.evaluate`.

Source: gateway.md, 11.1 and 11.2.
"""
