"""`chainctl`: runs the processes and looks at what they do."""
