"""AWS's JSON protocol, its signatures and credentials, and SQS by them."""
