"""Membership: the members that live, the reports of survivors, and the rebuild of the world."""
