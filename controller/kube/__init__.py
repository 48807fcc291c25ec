"""The boundary to the API server: client, store, watch (kopf), Events.

Reads and writes objects; decides nothing about them.
"""
