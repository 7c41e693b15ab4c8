"""The backend of the example: FastAPI and the client ``meterd.AsyncMeter``."""
