"""Load on a real daemon, as backends and frontends make it; ``python -m loadtests.load --help``.

``loadtests/locustfile.py`` is what Locust is given. Modules without Locust in them: importing that
patches the whole process for gevent.
"""
