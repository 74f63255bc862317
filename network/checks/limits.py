"""The largest sizes of a model that is read from a file; no Keras, so that `.onnx` files are held to them too."""

MAX_DESCRIPTION_BYTES = 8 * 2**20  # config or metadata: a confusion matrix of a thousand labels has three million
# The largest sizes of a network, far above those of any BERT.
MOST = {
    "vocab_size": 1_000_000,
    "max_seq_len": 4096,
    "d_model": 8192,
    "num_layers": 128,
    "num_heads": 256,
    "dff": 65_536,
    "type_vocab_size": 1024,
}
MOST_ATTENTION = 2**26  # scores of one window: heads × length²; BERT-large has 4 million
