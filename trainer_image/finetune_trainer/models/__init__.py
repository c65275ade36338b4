"""Pretrained models and tokenizers, and the adapters beside them."""
