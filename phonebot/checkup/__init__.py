"""Whether what a deployment needs is there: probes, for the console's page, the API and `phonebot doctor`."""
