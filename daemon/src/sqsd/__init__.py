"""sqsd: takes messages from Amazon SQS and POSTs them to a local web application."""

__version__ = "0.1.0"
