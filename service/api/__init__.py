"""HTTP API: endpoints, request validation, responses, problem documents and the OpenAPI description."""
