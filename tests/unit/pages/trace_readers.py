"""Readers of traces without a page."""


class Reader:
    """What a chooser showed and said, in order."""

    def __init__(self):
        self.shown, self.said = [], []

    def show(self, trace, start):
        self.shown.append((trace, dict(start)))
        return True

    def say(self, tone, text):
        self.said.append((tone, text))
