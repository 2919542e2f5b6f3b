"""The wall between us and evidence: persistent workers under bubblewrap and seccomp, spoken to by checked messages.

`parent.py` starts and drives a worker from outside, `child.py` is its main loop inside, `protocol.py` the messages between,
`seccomp.py` the two filters, `limits.py` the numbers.
"""
