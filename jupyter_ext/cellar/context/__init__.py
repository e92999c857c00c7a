"""Context of a question, pure: parts -> text blocks, within a budget, secrets masked, on a receipt."""
