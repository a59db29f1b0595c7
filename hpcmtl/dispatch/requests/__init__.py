"""Requests of users to a running job: the request queue and their execution."""
