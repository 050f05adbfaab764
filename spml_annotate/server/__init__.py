"""The Label Studio ML backend: routes, durable jobs, and the models that answer."""
