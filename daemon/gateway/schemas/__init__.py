"""The shapes of answers, for the OpenAPI description alone: what is sent is made elsewhere."""
