"""Carries a project to Label Studio and back: tasks, answers, predictions, the queue, and what came of them."""
