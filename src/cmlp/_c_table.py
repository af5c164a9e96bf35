"""Raw rows of a table in C: numbers scaled and placed in bins, categories as codes. No layers."""


def table_function(writer):
    raise ValueError("later")


def table_comment(exported):
    return []
