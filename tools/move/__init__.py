"""Experiments from one stack to another: rows and files, through the servers' own pods.

The pods have all it takes on any cloud: the database's driver, its sign-in and certificates, and MLflow's
clients of every object store. This machine only joins what one pod writes to what the other reads.
"""
