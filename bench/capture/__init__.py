"""`python -m bench capture`: what it costs to have a model's attention recorded.

MiniLM runs the same random tokens plainly, while it is captured, and as one would otherwise have
to: with eager attention and `output_attentions`. The ways take turns, a round each, all in one
process; ratios are of the same round, since cores are shared and a machine has slow minutes.
"""
