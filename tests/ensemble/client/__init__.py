"""``golea_async.client.ZKClient`` on real ensembles, next to what aiozk's own client does."""
