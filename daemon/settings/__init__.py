"""Settings: types, the file, the environment, and what follows from them."""
