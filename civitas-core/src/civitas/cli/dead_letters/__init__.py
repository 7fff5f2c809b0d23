"""`civitas dead-letters`: list, show, return, move and remove what a durable transport keeps.

    group     the group of `civitas`: the messages of a topology's transport
    commands  the commands, for whatever has a message source
    work      what they do with the store, and its progress
    source    where the messages of a topology are, and which agents its system has
    stranded  what `civitas stats` says of messages for names that nobody has
    output    messages as a table or as JSON, and progress

A transport with a command of its own gives `commands_for` a source of its own.
"""
