"""What Locust is given: ``locust -f loadtests/locustfile.py``; see docs/load-tests.md."""

from loadtests.load.hooks import BackendUser, FrontendUser

__all__ = ["BackendUser", "FrontendUser"]
