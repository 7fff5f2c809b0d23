"""Bus: from a name to a frame on the transport, and from a frame to a mailbox."""
