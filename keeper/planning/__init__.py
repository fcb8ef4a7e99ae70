"""The planner on the command line: `keeper backtest`, `keeper plan` and `keeper theory`.

A backtest lives one rule through a history and charges what it is told to, by default nothing. A plan looks for a rule
and charges what acting costs on Ethereum, unless told otherwise.

What draws is imported where it is used: these commands are read whenever any command starts.
"""
