"""HTTP: authentication, bodies, discovery, OpenAPI, logs, and the handler of each request."""
