"""Control: how nodes find each other, watch each other, and tell each other what to do."""
