"""Writes a model of random weights for llama.cpp: model.py FILE

It has a Llama's shape and no sense: one layer, 300 KiB, and as its vocabulary the 256 bytes. What a
server does with a model it does with this one, a thousand times faster. The seed is fixed, so that
the file is the same wherever it is made.
"""

import random
import struct
import sys

WIDTH, HIDDEN, HEADS = 64, 128, 4
# Long enough that a stream that nobody ends is still going when a test gets round to ending it.
CONTEXT_TOKENS = 131072
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
END = TOKENS.index("</s>")
# The kinds of tokens in a GGUF file.
UNKNOWN, CONTROL, BYTE = 2, 3, 6
TOKEN_KINDS = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256]
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "assistant: "
)

# The kinds of values, by their numbers in a GGUF file.
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9
METADATA = [
    ("general.architecture", STRING, "llama"),
    ("general.name", STRING, "random"),
    ("llama.context_length", UINT32, CONTEXT_TOKENS),
    ("llama.embedding_length", UINT32, WIDTH),
    ("llama.block_count", UINT32, 1),
    ("llama.feed_forward_length", UINT32, HIDDEN),
    ("llama.attention.head_count", UINT32, HEADS),
    ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
    ("llama.rope.dimension_count", UINT32, WIDTH // HEADS),
    ("llama.vocab_size", UINT32, len(TOKENS)),
    ("tokenizer.ggml.model", STRING, "llama"),
    ("tokenizer.ggml.tokens", ARRAY, (STRING, TOKENS)),
    ("tokenizer.ggml.scores", ARRAY, (FLOAT32, [0.0] * len(TOKENS))),
    ("tokenizer.ggml.token_type", ARRAY, (INT32, TOKEN_KINDS)),
    ("tokenizer.ggml.unknown_token_id", UINT32, TOKENS.index("<unk>")),
    ("tokenizer.ggml.bos_token_id", UINT32, TOKENS.index("<s>")),
    ("tokenizer.ggml.eos_token_id", UINT32, END),
    ("tokenizer.chat_template", STRING, TEMPLATE),
]
# Names and dimensions; the first dimension is the one that lies together.
TENSORS = [
    ("token_embd.weight", (WIDTH, len(TOKENS))),
    ("blk.0.attn_norm.weight", (WIDTH,)),
    ("blk.0.attn_q.weight", (WIDTH, WIDTH)),
    ("blk.0.attn_k.weight", (WIDTH, WIDTH)),
    ("blk.0.attn_v.weight", (WIDTH, WIDTH)),
    ("blk.0.attn_output.weight", (WIDTH, WIDTH)),
    ("blk.0.ffn_norm.weight", (WIDTH,)),
    ("blk.0.ffn_gate.weight", (WIDTH, HIDDEN)),
    ("blk.0.ffn_up.weight", (WIDTH, HIDDEN)),
    ("blk.0.ffn_down.weight", (HIDDEN, WIDTH)),
    ("output_norm.weight", (WIDTH,)),
    ("output.weight", (WIDTH, len(TOKENS))),
]
ALIGNMENT = 32
SPREAD = 0.2
# How far the end's likelihood differs from place to place, against other tokens': an answer has about
# fifteen tokens, and few have more than sixty.
END_SPREAD = 2.0


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value(kind, given):
    if kind == ARRAY:
        of, items = given
        return struct.pack("<IQ", of, len(items)) + b"".join(value(of, item) for item in items)
    if kind == STRING:
        return string(given)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f"}[kind], given)


def padded(data):
    return data + bytes(-len(data) % ALIGNMENT)


def weights(name, dimensions, dice):
    if len(dimensions) == 1:
        return [1.0] * dimensions[0]
    width, rows = dimensions
    numbers = [dice.gauss(0, SPREAD) for _ in range(width * rows)]
    if name == "output.weight":
        row = slice(END * width, (END + 1) * width)
        numbers[row] = [END_SPREAD * number for number in numbers[row]]
    return numbers


def model():
    dice = random.Random(1)
    index, data = b"", b""
    for name, dimensions in TENSORS:
        numbers = weights(name, dimensions, dice)
        index += string(name) + struct.pack("<I", len(dimensions))
        index += struct.pack(f"<{len(dimensions)}Q", *dimensions)
        # Kind 0 is a 32-bit float.
        index += struct.pack("<IQ", 0, len(data))
        data += padded(struct.pack(f"<{len(numbers)}f", *numbers))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(TENSORS), len(METADATA))
    for key, kind, given in METADATA:
        head += string(key) + struct.pack("<I", kind) + value(kind, given)
    return padded(head + index) + data


with open(sys.argv[1], "wb") as file:
    file.write(model())
