"""The rules of the contract as plain functions over integers.

No clock, no I/O, no Ray, nothing but the standard library. Times are integer milliseconds of
the queue's clock, credits are integer micro-credits, rates are micro-credits a minute. The
actors, the audit and the tests all call these functions, so there is one meaning of every rule.
"""
