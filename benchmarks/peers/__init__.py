"""Peers: the same work done by ours, by bare libraries, and by other projects, in one run.

    environments  makes an environment for each, with pinned versions and the same Python
    contenders    who does which work
    measure       has them take turns
    child         starts a program in its environment, and tells it what to do
    work          what is sent, for all

The programs, each of which does the work as its project would have it:

    floor         asyncio, msgpack, pyzmq and nats-py alone
    agents        ours, and the published `civitas`, which has the same API
    autogen       autogen-core
    xoscar        xoscar
    faststream    FastStream on NATS
"""
