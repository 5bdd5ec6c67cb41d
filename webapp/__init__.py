"""DBHost's control plane: web app, REST API, worker and command line."""
