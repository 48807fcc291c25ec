"""The one package that writes files for others to read: atomic replacement and journals, and copies in object stores.

A reader sees the old or the new content, never a mix (requirements 8.1-8.3).
"""
