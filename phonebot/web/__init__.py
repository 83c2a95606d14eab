"""The service: webhooks, the media stream's endpoint, and the app in which all parts meet."""
