"""Requests of users to a running job: the queue, the task source of ``hpcmtl add``, and their execution."""
