"""What is asked while the workflow is read: associations, configuration, checks."""
