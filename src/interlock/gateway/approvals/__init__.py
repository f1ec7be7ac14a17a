"""Human approval of soft denials: one table, whoever asks.

A key may say that a soft denial is put to a person (`approval: ask`). The call waits; an
answer lets it go on, perhaps with other arguments, which are decided again. No answer in
time is a denial. A hard denial is never put to anybody, and nothing is in mode strict.

Source: gateway.md, 11.13.
"""
