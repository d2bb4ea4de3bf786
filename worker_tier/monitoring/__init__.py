"""What a tier shows of itself: metrics, alarms, one dashboard."""
