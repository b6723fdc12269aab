"""Data sets: what is published, how a source is fetched, and how its files become tables.

catalogue   what GroupLens publishes, as data
download    an archive into the cache: resumed, checked
archive     the wanted members of an archive, and nothing else
source      any source -> a folder with just the files that are read
digest      that folder's hash, as it stands in dvc.lock
text        a file's lines: compression, encoding, where a byte is wrong
columns     which column is which
cells       a delimited file -> the text of its wanted cells, with line numbers
numbers     the text of a cell -> a number, or its text kept
rows        a file of either kind -> its wanted columns, as one table
tables      how each source is read; the ingested ratings
items       the items table
profile     a checked ratings table in figures
"""
