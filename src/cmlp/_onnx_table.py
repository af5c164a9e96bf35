"""Raw rows of a table as nodes of ONNX: numbers scaled and placed in bins, categories as codes."""


def encode_table(graph, exported):
    raise ValueError("later")
