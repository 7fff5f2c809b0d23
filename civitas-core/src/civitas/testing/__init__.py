"""The conformance kit: what every transport and every serializer must pass."""
