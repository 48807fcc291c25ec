"""The operator's image. `steps.py` is the one list of what is in it; from it come `hack/image/Containerfile`, for
whoever has a builder, and what `hack/image/build` makes: an archive, without a daemon."""
