"""Looking at runs and tidying up behind them: logs, clean, stop, doctor."""
