"""The command line: `main` finds the noun, one module each; `home` is a participant's folder.

`output` is what all commands share. `agent_client` talks to a running agent, `agent_process` is one, `machine` opens
its driver. `demo_stage`, `demo_story` and `demo_report` are the demo.
"""
