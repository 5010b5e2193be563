"""`python -m bench capture`: the cost of capturing a model's attention.

MiniLM processes the same random tokens without capture, with capture, and with the alternative:
eager attention and `output_attentions`. Each round runs all of these in one process, and ratios are
formed within a round, because the speed of a shared machine varies over minutes.
"""
