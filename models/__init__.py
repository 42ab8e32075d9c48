"""Networks, losses, GANs and VAEs as plain modules: nothing here knows Lightning."""

if __name__ != "torchaug.models":  # imported as `models` from the repository's root: a second copy of every class
    raise ImportError("import torchaug.models, not models")
