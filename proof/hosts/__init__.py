"""Real hosts against our server: headless, with a model on loopback that plays a script."""
