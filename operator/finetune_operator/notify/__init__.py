"""How somebody is told that a run has ended: the event, its signature, and the way to a receiver that nobody trusts."""
