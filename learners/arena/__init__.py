"""Who serves: the members, their contest, the constraints, and the swap."""
