"""Licensed jobs: lists what this printer may print, starts it through the Printright agent, shows how it goes."""

from __future__ import annotations

from pathlib import Path

import octoprint.plugin
from octoprint.access import ADMIN_GROUP

from .agent import Agent
from .follower import EVENTS, Follower
from .line_socket import LineSocket
from .printing import Printing
from .routes import Routes, guarded

__plugin_name__ = "Licensed jobs (Printright)"
__plugin_version__ = "0.1.0"
__plugin_pythoncompat__ = ">=3.9,<4"
__plugin_license__ = "AGPL-3.0-or-later"
__plugin_privacypolicy__ = "It talks to the agent beside the printer, and to nobody else."

TAB_IS_FOR = "visible: loginState.hasPermissionKo(access.permissions.PLUGIN_PRINTRIGHT_PRINT)"


class PrintrightPlugin(
    octoprint.plugin.StartupPlugin,
    octoprint.plugin.ShutdownPlugin,
    octoprint.plugin.SettingsPlugin,
    octoprint.plugin.TemplatePlugin,
    octoprint.plugin.AssetPlugin,
    octoprint.plugin.BlueprintPlugin,
    Routes,
):
    """The mixins; what they do is in the modules beside."""

    printing = None
    agent = None
    _socket = None
    _follower = None

    def initialize(self):
        self.agent = Agent(lambda: (self._settings.get(["agent"]) or "", self._settings.get(["token"]) or ""))
        self.printing = Printing(self._printer, self._settings, self._plugin_manager, self._identifier, self._logger)

    def on_after_startup(self):
        path = self._settings.get(["line_socket"]) or self._own_socket()
        try:
            self._socket = LineSocket(path, self._settings.get(["group"]), self.printing, self._logger)
        except (OSError, KeyError) as error:
            self._logger.error("no agent can connect: %s: %s", path, error)
        self._follower = Follower(self.agent, self._fire, self._hint)

    def on_shutdown(self):
        if self._follower is not None:
            self._follower.close()
        if self._socket is not None:
            self._socket.close()
        self.printing.close()

    def _own_socket(self):
        return str(Path(self.get_plugin_data_folder()) / "lines.sock")

    def connected(self):
        return self._socket is not None and self._socket.connected

    def ordered(self, job, user):
        if self._follower is not None:
            self._follower.ordered(job, user)
        self.printing.user_hint = user

    def _hint(self, title, user):
        self.printing.title_hint, self.printing.user_hint = title, user

    def _fire(self, name, payload):
        self._event_bus.fire(f"plugin_{self._identifier}_{name}", payload)

    # Settings, templates, assets -----------------------------------------------------------------------------------

    def get_settings_defaults(self):
        return {"agent": "", "token": "", "line_socket": "", "group": "", "allow_virtual_printer": False}

    def get_settings_restricted_paths(self):
        return {"admin": [[name] for name in self.get_settings_defaults()]}

    def get_template_configs(self):
        return [
            {"type": "tab", "name": "Licensed jobs", "custom_bindings": True, "data_bind": TAB_IS_FOR},
            {"type": "settings", "name": "Licensed jobs", "custom_bindings": False},
        ]

    def get_template_vars(self):
        return {"default_socket": self._own_socket()}

    def is_template_autoescaped(self):
        return True

    def get_assets(self):
        return {"js": ["js/printright.js"], "css": ["css/printright.css"]}

    # Routes --------------------------------------------------------------------------------------------------------

    def is_blueprint_csrf_protected(self):
        return True

    @octoprint.plugin.BlueprintPlugin.route("/status", methods=["GET"])
    @guarded
    def route_status(self):
        return self.show()

    @octoprint.plugin.BlueprintPlugin.route("/offers", methods=["GET"])
    @guarded
    def route_offers(self):
        return self.show_offers()

    @octoprint.plugin.BlueprintPlugin.route("/jobs", methods=["GET"])
    @guarded
    def route_jobs(self):
        return self.show_jobs()

    @octoprint.plugin.BlueprintPlugin.route("/jobs/<job>/parts", methods=["GET"])
    @guarded
    def route_parts(self, job):
        return self.show_labels(job)

    @octoprint.plugin.BlueprintPlugin.route("/jobs", methods=["POST"])
    @guarded
    def route_order(self):
        return self.order()

    @octoprint.plugin.BlueprintPlugin.route("/say", methods=["POST"])
    @guarded
    def route_say(self):
        return self.say()

    @octoprint.plugin.BlueprintPlugin.route("/pause", methods=["POST"])
    @guarded
    def route_pause(self):
        return self.pause()

    @octoprint.plugin.BlueprintPlugin.route("/resume", methods=["POST"])
    @guarded
    def route_resume(self):
        return self.resume()

    @octoprint.plugin.BlueprintPlugin.route("/cancel", methods=["POST"])
    @guarded
    def route_cancel(self):
        return self.cancel()

    # Hooks ---------------------------------------------------------------------------------------------------------

    def permissions(self, *args, **kwargs):
        return [
            {
                "key": "PRINT",
                "name": "Print licensed jobs",
                "description": "Allows to see, start, pause and cancel licensed jobs. Starting one spends copies.",
                "roles": ["print"],
                "default_groups": [ADMIN_GROUP],
            }
        ]

    def events(self, *args, **kwargs):
        return list(EVENTS)

    def queuing(self, *args, **kwargs):
        return self.printing.queuing(*args, **kwargs)

    def sent(self, *args, **kwargs):
        self.printing.sent(*args, **kwargs)

    def received(self, *args, **kwargs):
        return self.printing.received(*args, **kwargs)


__plugin_implementation__ = PrintrightPlugin()
__plugin_hooks__ = {
    "octoprint.access.permissions": __plugin_implementation__.permissions,
    "octoprint.events.register_custom_events": __plugin_implementation__.events,
    "octoprint.comm.protocol.gcode.queuing": __plugin_implementation__.queuing,
    "octoprint.comm.protocol.gcode.sent": __plugin_implementation__.sent,
    "octoprint.comm.protocol.gcode.received": (__plugin_implementation__.received, 1),
}
