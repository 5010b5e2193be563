"""Measure a model in an offline file: its size, its error, its tokenizer and its speed."""
