"""`civitas top`: a live view of a running system.

Theory. A *look* is what nodes have told at one moment. A *frame* is what is shown of it: with
rates, which are differences to the look before, and with what is remembered of what has gone. A
*view* is what its user has chosen: an order, a filter, a pause. Looks come at intervals and keys at
any time; each is shown at once.

    look     -> frame   `frames`: pure, with the memory of earlier looks
    key      -> view    `views`: pure
    frame    -> rows    `rows`: pure: order, filter, tree
    rows     -> lines   `screen`, for a terminal of a given size; `plain` and `json_lines`, whole
    bytes    -> keys    `keys`

    looking  asks a system again and again; when its client has failed, with another one
    terminal has the terminal: its modes, its keys, its signals; and gives it back
    command  puts them together
"""
