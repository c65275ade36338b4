"""OpenAPI schemas: of the built-in kinds, and what they do to a value: validate, default, prune."""
