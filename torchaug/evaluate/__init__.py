"""Did it help? Test sets, metrics, small classifiers and intervals of paired runs."""
