"""The operator's desk: every question and order about stored flows, as functions on a backend.

`flows` (which there are, how one stands), `history`, `pictures`, `orders` (start, go on), `places` (opening
storage), `factories` and `owners`. Answers are frozen dataclasses of `views`; how they look on a screen
is the door's business.
"""
