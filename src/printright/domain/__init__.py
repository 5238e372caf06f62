"""The nouns: pure values and decisions. No I/O, no event loop, no clock; time comes as an argument.

ids        one type for each identity and digest       license    terms, limits, documents, trees of units
words      keccak, ABI words, EIP-712                  job        the spend, its slot on the ledger, its record
member     roles, unit profiles, enrolment requests    part       codes, serial numbers, labels and their proofs
estimate   what a slicer said of its file             firmware   versions, and the least that a design asks for
release    may this custodian release its share? The one decision that plaintext hangs on
"""
