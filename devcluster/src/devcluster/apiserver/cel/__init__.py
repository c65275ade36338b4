"""CEL: Kubernetes' functions, static types from schemas, and the rules of custom resources."""
