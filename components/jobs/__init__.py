"""Jobs in the cluster, from settings and contracts. Read ``jobs.py`` first; no cloud's SDK here."""
