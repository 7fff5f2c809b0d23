"""The processes that `civitas up` runs together on one machine.

`group` starts each process of the topology, the primary first, as a `child` in a session of its
own: a Ctrl-C at the terminal reaches `up` alone, which then ends the children in order. `console`
writes their lines to the terminal, each with its process's name in front.

When a process ends by itself, `group` decides what follows, and does it:

=====================================  ==========================================================
a process ended by itself              what follows
=====================================  ==========================================================
a worker, exit code 0, and it said     it is done; the others go on
that it is done
a worker, exit code 0, unsaid          it is started again, after a delay that grows
a worker, exit code 2 (bad input)      all end, with exit code 2: the same input fails again
a worker, any other exit code          it is started again, after a delay that grows
a worker or the primary, by a signal   it is started again, after a delay that grows
the primary, any exit code             all end with that code: it knows when the system is done;
                                       with 1 for a 0 unsaid
=====================================  ==========================================================

Code of an agent may end its process at any time with exit code 0, by `os._exit`. So a process says
that it is done, over the socket of `parent_watch`, when its node has ended and not before.

An end of all begins with the primary, so that the workers can still answer while it drains, and
goes on with the workers together. A child that does not end within the grace is killed.

When `up` itself is killed, it can't end anybody. So each child has a `parent_watch`: it ends
itself when `up` is gone. What `--set` was given may be secret: the children get it as
`private_arguments`. Where `up` is a service of systemd, `notices` tells of all of them.
"""
