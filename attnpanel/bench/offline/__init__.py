"""The bench in one offline file: a page certifies and times attention on its reader's device."""
