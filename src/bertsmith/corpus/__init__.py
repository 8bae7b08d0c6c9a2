"""Corpora of plain text, which may be larger than memory, as rows to learn masked words and next sentences from.

files ─documents▶ sentences ─store▶ pieces on disk ─packed, pairs▶ a row's sequence, made when it is asked for
"""
