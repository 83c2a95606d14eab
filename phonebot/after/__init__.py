"""What is done once a call has ended and is filed: a summary, data by a schema, and a request that tells of it."""
