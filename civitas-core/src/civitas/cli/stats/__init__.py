"""`civitas stats`: what a running system is asked, what it comes to, and how it is shown.

answers   what nodes tell of themselves and of others, read from the network
states    which processes and agents of the topology run, and what is the matter with the rest
counting  what waits in the transport
output    the tables and the JSON of it
command   puts them together
"""
