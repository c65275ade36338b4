"""What a run writes about itself while it trains: progress, history, the state that is reported."""
