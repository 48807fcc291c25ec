"""Where attempts run: `base` is the protocol, each executor a sub-package.

An executor launches, observes, stops and releases attempts; it does not know queues, retries or the API server.
"""
