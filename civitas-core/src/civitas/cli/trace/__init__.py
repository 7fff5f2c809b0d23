"""`civitas trace`: where a message went, by the logs of its processes.

records  lines of logs, read into values
paths    the messages of a trace, as a tree with times
command  puts them together, and prints
"""
