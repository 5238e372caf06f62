"""The command line: `main` finds the noun, one module each; `output` prints and exits; `home` is a participant's folder.

`agent_client` talks to a running agent, `agent_process` is one; `demo_stage`, `demo_story` and `demo_report` are the demo.
"""
