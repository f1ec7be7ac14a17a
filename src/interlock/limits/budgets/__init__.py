"""Money and tokens that keys, people, groups and accounts may use in a day or a month.

A call reserves what it may cost before the model is asked, and what it did cost is put in the
place of that afterwards. Owns budgets, their counts and what happens at their end; refuses to
know models, prices or requests.
"""
