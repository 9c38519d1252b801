"""What each rule of the workflow does, files in, files out: a module a rule."""
