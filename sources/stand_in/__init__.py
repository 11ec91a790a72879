"""A loopback Bitrix24: a seeded company with its truth, served over the REST methods the pipeline uses."""
