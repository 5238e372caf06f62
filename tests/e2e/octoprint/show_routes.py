"""An OctoPrint plugin for tests only: writes down every route that the server has."""

import json
from pathlib import Path

import octoprint.plugin

__plugin_name__ = "Routes"
__plugin_version__ = "1"
__plugin_pythoncompat__ = ">=3.9,<4"


class Routes(octoprint.plugin.StartupPlugin):
    def on_after_startup(self):
        from octoprint.server import app

        rules = [[rule.rule, sorted(rule.methods)] for rule in app.url_map.iter_rules()]
        (Path(self.get_plugin_data_folder()) / "routes.json").write_text(json.dumps(rules))


__plugin_implementation__ = Routes()
