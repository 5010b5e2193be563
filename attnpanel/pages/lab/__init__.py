"""The page /lab: train tiny transformers, compare their curves, watch a head form."""
