"""Train routers: LLMs answer requests, a judge scores the answers, a router learns from both."""
