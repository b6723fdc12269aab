"""HTTP API: endpoints, validation of requests, responses, problem documents and the API's description."""
