"""Typed: messages whose payloads are objects of a class where they are sent, and where handled.

Theory of operation
-------------------

On the wire a typed message is what any message is: a type (its *tag*) and a dict. A *model* is a
class that describes such a dict; there are four shapes of it, and `shapes` tells them apart by
what they have, so that no library is imported for it:

    shape      | what describes the dict        | to a dict        | from a dict
    -----------+--------------------------------+------------------+-------------------------
    DATACLASS  | its fields, ours to convert    | `sending`        | `converting`
    TYPED_DICT | its keys, ours to convert      | it is one        | `converting`
    PYDANTIC   | the library                    | `model_dump`     | `model_validate`
    STRUCT     | the library (msgspec)          | `to_builtins`    | `convert`

The tag of a model is the name of its class, or what `civitas.message` gave it.

    sending     an object of a model becomes a tag and a dict: the verbs come here with whatever is
                not a dict, so what is sent as a dict pays nothing
    converting  a dict becomes an object of a model, by one function for each field, made once
    values      those functions, for what a field may be: text, numbers, lists, unions ...
    fields      a class becomes the types of its fields, by name
    libraries   the models that validate themselves
    handlers    the methods marked with `civitas.on` become the `handle` of their class
    answers     an answer becomes an object of the class that `ask(reply=...)` names
    refusals    the errors: of a value that does not fit, and of a message that is not handled

Rules
-----

- The receiver's own code chooses the class: `@on` by the message's type, `ask` by `reply=`. A frame
  chooses nothing: what is not named there is never made.
- What does not fit is refused whole, before the handler runs, with the path of the first value that
  does not. That is no crash: the sender is wrong, not the agent.
- What is made of a field depends on the kind of the value alone (text, number, list ...), so a
  union costs one look, whatever comes; and the keys of dicts and members of sets are text or bytes,
  whose hashes nobody can guess. So converting takes time in proportion to what came.
- A class without `@on` has the `handle` that it always had.

It knows messages and errors, and nothing of buses, agents and nodes.
"""
