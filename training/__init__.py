"""Lightning modules, data modules, callbacks and synthesis."""

if __name__ != "torchaug.training":  # imported as `training` from the repository's root: a second copy of every class
    raise ImportError("import torchaug.training, not training")
