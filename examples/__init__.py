"""Small programs that each show one use of the library; `website` and `demo` are the large ones."""
