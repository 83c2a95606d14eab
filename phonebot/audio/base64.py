"""Audio as base64 text, as both protocols carry it. It comes from outside: it is looked at before it is used."""

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PADDINGS = (b"", b"=", b"==")


def is_base64(text: str) -> bool:
    """Whether length, alphabet and padding are those of base64, of one byte at least. Nothing is decoded."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    padding = data.translate(None, _ALPHABET)
    return bool(data) and len(data) % 4 == 0 and padding in _PADDINGS and data.endswith(padding)


def base64_length(text: str) -> int:
    """The number of bytes that base64 `text` stands for."""
    return len(text) * 3 // 4 - (text[-2:].count("=") if text else 0)


def base64_silence(length: int) -> str:
    """`length` bytes of mu-law silence, 0xFF each."""
    return "////" * (length // 3) + ("", "/w==", "//8=")[length % 3]
