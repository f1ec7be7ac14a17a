"""The instructions of the machine: one small handler per operation, listed in `steps.table`.

A handler is called with the machine, the frame and the instruction's argument. It looks at its
operands, computes, and only then takes them off the stack, so that an exception finds them there.
It returns True when another frame is to run now.
"""
