"""Models for checks, made from the starter: with another chat template, or other names of control tokens."""
import struct

ALIGN = 32
FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # GGUF's types of one size
STRING, ARRAY = 8, 9

# Qwen's form: the prompt opens the reasoning unless it is switched off; calls are Hermes'.
THINKER = r"""
{%- set effort = {'low': 'Think.', 'medium': 'Think a little longer.', 'high': 'Think as long as it takes, and be thorough.'} %}
{%- if tools %}{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
{{- "# Tools\n\n<tools>" }}{%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
{{- "\n</tools><|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}
{%- if reasoning_effort is defined %}
{{- '<|im_start|>system\n' + effort[reasoning_effort] + '<|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}
{%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}
{%- if message.tool_calls and not message.reasoning_content %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{{- message.content }}
{%- for tool_call in message.tool_calls %}
{%- if message.content or not loop.first %}{{- '\n' }}{%- endif %}
{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' }}
{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}
{%- else %}{{- '<think>\n' }}{%- endif %}{%- endif %}"""


class Reader:
    """Walks over the header of a GGUF file (ggml docs/gguf.md, version 3)."""

    def __init__(self, data):
        self.data, self.at = data, 4
        version, self.tensors, self.pairs = self.take("<IQQ")
        assert data[:4] == b"GGUF" and version == 3

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values if len(values) > 1 else values[0]

    def string(self):
        n = self.take("<Q")
        self.at += n
        return self.data[self.at - n:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, n = self.take("<IQ")
            if inner in FIXED:
                self.at += FIXED[inner] * n
            else:
                for _ in range(n):
                    self.skip(inner)
        else:
            self.at += FIXED[kind]


def thinking_model(source, target):
    """The model with the template THINKER."""
    with open(source, "rb") as f:
        data = f.read()
    r = Reader(data)
    text = THINKER.lstrip("\n").encode()
    for _ in range(r.pairs):
        key, kind = r.string(), r.take("<I")
        begins = r.at
        r.skip(kind)
        if key == b"tokenizer.chat_template":
            value = begins, r.at
    for _ in range(r.tensors):
        r.string()
        dimensions = r.take("<I")
        r.at += 8 * dimensions + 12
    head = data[:value[0]] + struct.pack("<Q", len(text)) + text + data[value[1]:r.at]
    head += b"\0" * (-len(head) % ALIGN)
    with open(target, "wb") as f:
        f.write(head)
        f.write(data[r.at + -r.at % ALIGN:])


def fill_in_model(source, target):
    """Three control tokens get the names of those of a model that can fill in."""
    with open(source, "rb") as f:
        data = f.read()
    for old, new in ((b"<issue_closed>", b"<|fim_prefix|>"), (b"<jupyter_text>", b"<|fim_suffix|>"),
                     (b"<jupyter_code>", b"<|fim_middle|>")):
        assert len(old) == len(new) and data.count(old) == 1
        data = data.replace(old, new)
    with open(target, "wb") as f:
        f.write(data)
