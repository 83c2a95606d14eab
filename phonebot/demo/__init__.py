"""The demos: a recorded caller, the whole service and the embedded model, in one process."""
