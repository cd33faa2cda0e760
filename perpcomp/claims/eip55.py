"""Addresses in mixed case, whose case is a checksum (EIP-55), for lists of many."""

from tiny_keccak import keccak256

# Source: EIP-55: a letter is upper case where the same digit of the address's keccak is 8 or more. 0x20 is the bit of ASCII's case.
_HIGH = bytes.maketrans(b"0123456789abcdef", b"\0" * 8 + b" " * 8)
_LETTER = bytes.maketrans(b"0123456789abcdef", b"\0" * 10 + b" " * 6)


def checksummed(address: str) -> str:
    """A lower-case address in mixed case."""
    digits = address[2:].encode()
    high = int.from_bytes(keccak256(digits)[:20].hex().encode().translate(_HIGH))
    letters = int.from_bytes(digits.translate(_LETTER))
    return f"0x{(int.from_bytes(digits) - (high & letters)).to_bytes(40).decode()}"
