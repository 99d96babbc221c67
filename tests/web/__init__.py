"""Tests of elections in web applications."""
