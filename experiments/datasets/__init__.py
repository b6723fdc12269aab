"""Data sets: fetch a source, and read its files into tables.

movielens             the releases that GroupLens publishes
download              the download cache
archive_extraction    safe extraction from zip and tar archives
source                any source -> a folder that contains only the files to read
dvc_digest            digest of that folder, as dvc.lock shows it
table_format          format of a table in a file, and the table as read
text_lines            lines of a text file: decompression, encoding, invalid bytes
csv_columns           positions of the columns in a delimited text file
csv_reader            delimited text -> columns of text, with line numbers
parquet_reader        Parquet -> the same
value_columns         the columns with ratings, or with weights and events
interactions_reader   the raw table of any source
items_table           the items table: read, or derived from the interactions
interactions_summary  statistics of the validated interactions
"""
