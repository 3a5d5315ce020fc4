import string

import numpy as np

from llmrouter.encoders.base import Encoder


class LetterEncoder(Encoder):
    """Counts letters, as a share of the longest text that it learned from."""

    name = "frozen-letters"
    version = "2"
    dim = 26

    def __init__(self, argument=None):
        super().__init__(argument)
        self.longest = 1

    def fit(self, texts):
        self.longest = max(len(text) for text in texts)

    def encode(self, texts):
        counts = [[text.lower().count(letter) for letter in string.ascii_lowercase] for text in texts]
        return np.array(counts, dtype=np.float32).reshape(len(texts), 26) / np.float32(self.longest)

    def state(self):
        return {"longest": np.array([self.longest])}, {"argument": self.argument}

    def restore(self, arrays, settings):
        self.longest = int(arrays["longest"][0])
