"""The container images: what is in them, how they are built, and how that is verified offline."""
