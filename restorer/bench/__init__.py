"""What `restorer bench` measures: how long a window takes (speed), how well recordings come back (quality).

quality   cases: recordings x severities x methods, and the rows they make
severity, recordings, degrade   what is done to which recordings
methods   what restores them; a new method is one line there
measures  the columns, each with the package that it needs
cache, report, plot   kept cases, tables and JSON, pictures
"""
