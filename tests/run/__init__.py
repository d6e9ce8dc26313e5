"""`make run` itself: the supervisor started as a user starts it, on a data folder of the test's own."""
