/* The tab "Licensed jobs". Everything shown is bound as text; nothing of the agent's is ever markup. */
$(function () {
    "use strict";

    const BASE = "plugin/printright/";
    const WORDS = {
        planned: "starting", spent: "getting the key", printing: "printing", waiting: "waiting for you",
        reporting: "reporting", finished: "finished", refused: "refused"
    };
    const FAST_MS = 1000, SLOW_MS = 5000, OFFERS_MS = 60000;

    function duration(seconds) {
        const minutes = Math.round(seconds / 60);
        if (seconds < 90) { return Math.round(seconds) + " s"; }
        return minutes < 60 ? minutes + " min" : Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
    }

    function key() {
        return Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, "0")).join("");
    }

    function offerOf(data) {
        return Object.assign({}, data, {
            quantity: ko.observable(1), bedIsClear: ko.observable(false), inspect: ko.observable(false),
            expires: "until " + new Date(data.expires_at_s * 1000).toISOString().slice(0, 10)
        });
    }

    function jobOf(data, machine) {
        const waiting = data.stage === "waiting";
        const good = data.outcomes.filter(o => o === "good").length;
        const failed = data.outcomes.filter(o => o === "failed").length;
        const asksForBed = waiting && /bed/.test(data.note) && !failed;
        return {
            job: data.job, title: data.title, note: data.note.charAt(0).toUpperCase() + data.note.slice(1), said: data.note,
            paused: machine === "paused",
            stage: data.stage === "printing" && machine === "paused" ? "paused" : WORDS[data.stage] || data.stage,
            stageCss: waiting ? "label-warning" : data.stage === "refused" ? "label-important" : "label-info",
            percent: Math.round(data.fraction * 1000) / 10 + "%",
            progressText: Math.round(data.fraction * 100) + " %" +
                (data.eta_s ? ", this part is done in about " + duration(data.eta_s) : ""),
            copiesText: data.quantity + (data.quantity === 1 ? " copy" : " copies") +
                (good || failed ? ": " + good + " good, " + failed + " failed" : ""),
            running: data.stage === "printing",
            cancelable: ["planned", "spent", "printing", "waiting"].includes(data.stage),
            asksForBed: asksForBed, asksForResult: waiting && !asksForBed, more: data.runs_ended < data.runs,
            outcomes: data.outcomes.map((outcome, index) => ({
                name: "copy " + (index + 1), wasGood: outcome === "good", failed: ko.observable(outcome !== "good")
            }))
        };
    }

    function PrintrightViewModel(parameters) {
        const self = this;
        self.loginState = parameters[0];
        self.access = parameters[1];
        self.offers = ko.observableArray([]);
        self.loaded = ko.observable(false);
        self.job = ko.observable(null);
        self.result = ko.observable(null);
        self.error = ko.observable("");
        self.hint = ko.observable("");
        self.obstacle = ko.observable("");
        self.busy = ko.observable(false);
        self.visible = false;
        let timer = null, offersAt = 0, last = "", open = null;

        self.canStart = ko.pureComputed(() => !self.busy() && !self.job() && !self.obstacle());
        const may = () => self.loginState.hasPermission(self.access.permissions.PLUGIN_PRINTRIGHT_PRINT);

        function failed(answer) {
            const said = answer.responseJSON || {};
            self.error(answer.status === 403 ? "You may not print licensed jobs." : said.error || "OctoPrint does not answer.");
            self.hint(said.hint || "");
        }

        function ask(method, path, body) {
            const call = method === "GET" ? OctoPrint.get(BASE + path) : OctoPrint.postJson(BASE + path, body || {});
            return call.fail(failed);
        }

        function act(path, body) {
            self.busy(true);
            return ask("POST", path, body).done(() => self.error("")).always(() => { self.busy(false); self.poll(); });
        }

        function schedule() {
            clearTimeout(timer);
            timer = setTimeout(self.poll, self.visible ? FAST_MS : SLOW_MS);
        }

        self.poll = function () {
            if (!may()) { schedule(); return; }
            ask("GET", "status").done(function (status) {
                self.error("");
                self.obstacle(status.halted || (status.job ? "" : status.obstacle));
                // Drawn again only when something changed: what is being ticked stays.
                const now = JSON.stringify([status.job, status.machine]);
                if (now !== last) {
                    last = now;
                    const waits = status.job && self.job() && status.job.stage === "waiting" &&
                        self.job().job === status.job.job && self.job().said === status.job.note;
                    if (!waits) { self.job(status.job ? jobOf(status.job, status.machine) : null); }
                }
                if (open && (!status.job || status.job.job !== open)) { ended(open); }
                open = status.job ? status.job.job : null;
                if (self.visible && Date.now() - offersAt > OFFERS_MS) { self.refresh(); }
            }).always(schedule);
        };

        function ended(job) {
            self.refresh();
            ask("GET", "jobs").done(function (answer) {
                const found = answer.jobs.find(each => each.job === job);
                if (!found) { return; }
                const good = found.outcomes.filter(o => o === "good").length;
                const summary = found.stage === "refused" ? "The ledger refused the job: " + found.note :
                    good + " good, " + (found.outcomes.length - good) + " failed";
                self.result({summary: summary, serials: []});
                if (found.stage === "finished" && good) {
                    ask("GET", "jobs/" + job + "/parts").done(parts =>
                        self.result({summary: summary, serials: parts.parts.map(part => part.serial)}));
                }
            });
        }

        self.refresh = function () {
            offersAt = Date.now();
            return ask("GET", "offers").done(function (answer) {
                self.loaded(true);
                self.offers(answer.offers.map(offerOf));
            });
        };

        self.start = function (form) {
            const offer = ko.dataFor(form);
            self.result(null);
            act("jobs", {
                license: offer.license, quantity: parseInt(offer.quantity(), 10) || 0, order_key: key(),
                bed_is_clear: offer.bedIsClear(), inspect: offer.inspect()
            });
        };
        self.goOn = () => act("say", {word: "continue", failed: []});
        self.finish = function () {
            const marks = self.job().outcomes;
            const failed = marks.map((mark, index) => mark.failed() ? index : -1).filter(index => index >= 0);
            act("say", {word: "finish", failed: failed});
        };
        self.pause = () => act("pause");
        self.resume = () => act("resume");
        self.cancel = () => showConfirmationDialog({
            title: "Cancel the licensed job?",
            message: "Copies that are not finished count as failed. Within the license's spoilage allowance they return.",
            proceed: "Cancel the job", cancel: "Go on printing", proceedClass: "danger",
            onproceed: () => act("cancel")
        });
        self.dismiss = () => self.result(null);

        self.onTabChange = function (next) {
            self.visible = next === "#tab_plugin_printright";
            if (self.visible) { offersAt = 0; self.poll(); }
        };
        self.onStartupComplete = self.onUserLoggedIn = self.onUserLoggedOut = function () { offersAt = 0; self.poll(); };
    }

    OCTOPRINT_VIEWMODELS.push({
        construct: PrintrightViewModel,
        dependencies: ["loginStateViewModel", "accessViewModel"],
        elements: ["#tab_plugin_printright"]
    });
});
