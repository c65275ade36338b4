"""From rows to tokens: what is read, checked and made of it before a task sees it."""
