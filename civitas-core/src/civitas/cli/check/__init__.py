"""`civitas check`: whether a system is well, for probes and cron: an exit code and a line.

verdict   what is wrong with a system, or with one process of it
page      the same of a process that only its own health address tells of
command   asks, and says it
"""
