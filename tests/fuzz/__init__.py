"""Readers of foreign bytes, each under a law and fuzzed with coverage guidance.

A target is a file of `targets`; what once broke its law, or led into a room that nothing else led
into, lies in `corpus` and is read again by every `make test`, which needs no fuzzer.

`python -m tests.fuzz TARGET -max_total_time=60` fuzzes one, beginning with its corpus; the options
are libFuzzer's, and a folder among them is where it puts what it finds new. What is worth keeping
of that, less what another file does as well, is gathered by `… TARGET -merge=1 KEPT FOUND`.
"""
