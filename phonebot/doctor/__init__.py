"""`phonebot doctor`: all that a deployment needs, looked at in one go; what is wrong, with its remedy."""
