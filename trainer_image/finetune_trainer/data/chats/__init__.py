"""Rows of causal-lm, texts, prompts and chats, to tokens of which some are learnt."""
