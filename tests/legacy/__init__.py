"""Tests of bringing old records over."""
