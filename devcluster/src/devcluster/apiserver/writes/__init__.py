"""Create, update, patch, server-side apply and delete."""
