"""A message's life: pure decisions beside the asyncio shell that waits for them."""
