"""What all calls of a number, or of the deployment, may cost on one day."""
