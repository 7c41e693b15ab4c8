"""The supervisor and chat actors without Ray: the real logic, real servers, threads for actors."""
