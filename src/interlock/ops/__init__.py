"""Running a server over years: backup and restore, and finding out what is wrong.

Owns the format of backups. Refuses to know what tables mean: it moves rows.
"""
