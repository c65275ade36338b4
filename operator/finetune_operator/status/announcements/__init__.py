"""What is announced of a change: Events, and notifications of an end."""
