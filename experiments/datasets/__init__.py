"""Data sets: fetch a source, and read its files into tables.

movielens        the releases that GroupLens publishes
download         the download cache
archive          safe extraction from zip and tar archives
source           any source -> a folder with just the files to read
dvc_digest       digest of that folder, as dvc.lock shows it
tables           format of a table in a file, and its columns as read
encoding         lines of a text file: compression, encoding, invalid bytes
csv_header       positions of the columns in a delimited text file
csv_reader       delimited text -> columns of text, with line numbers
parquet_reader   Parquet -> the same
readers          the raw ratings table of any source
items            the items table
summary          statistics of the validated ratings
"""
