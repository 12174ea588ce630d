"""Withdraw and send: who does what, in which order, on which thread.

One **keeper** thread owns the ledger, the locks and the keys: everything durable happens there, so a
signal handler that interrupts any caller never waits for the thread it interrupted. One **sender**
thread sends positions, one **courier** delivers notices and registrations, one **watcher** sees what
other processes did.
"""
