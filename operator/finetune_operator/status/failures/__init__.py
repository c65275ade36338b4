"""Why a job or an attempt failed, what took its pods away, and what is kept of it."""
