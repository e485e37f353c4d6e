"""The device state as a file: out of one changelog, and into another, of any number of partitions.

`form` is the file, `leaving` reads a changelog into it, `contents` looks whether a file is right,
`moving` says what a row becomes in its new home, `arriving` writes it there.
"""
