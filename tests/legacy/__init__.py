"""Tests of importing old records."""
