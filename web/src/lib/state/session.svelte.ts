/* Who is logged in. Tabs tell each other, so that a log-out in one is a log-out in all. */
import type { Instance, Me } from "../../gen/api";
import { ApiError, call, setCsrf, whenLoggedOut } from "../client";
import { guessLanguage, setLocale } from "../i18n/index.svelte";
import { ui } from "./ui.svelte";

type Phase = "loading" | "out" | "in" | "offline";

class Session {
	phase = $state<Phase>("loading");
	me = $state.raw<Me | null>(null);
	instance = $state.raw<Instance | null>(null);
	ended = $state(false); /* was logged in and is not any more, without having asked for it */
	onIn: () => void = () => {};
	onOut: () => void = () => {};
	#channel = typeof BroadcastChannel === "function" ? new BroadcastChannel("tresor-session") : null;

	constructor() {
		whenLoggedOut(() => this.end());
		if (this.#channel)
			this.#channel.onmessage = (e: MessageEvent<string>) => {
				if (e.data === "in" && this.phase !== "in") void this.load();
				else if (e.data === "out") this.#leave(false);
			};
	}

	get person() {
		return this.me?.person ?? null;
	}

	can(right: string): boolean {
		return this.me?.rights.includes(right) ?? false;
	}

	async load(): Promise<void> {
		try {
			this.take(await call("team_me"), false);
		} catch (e) {
			if (e instanceof ApiError && e.slug === "offline") {
				this.phase = "offline";
				return;
			}
			this.#leave(false);
		}
		if (!this.instance) await this.loadInstance();
	}

	async loadInstance(): Promise<void> {
		try {
			this.instance = await call("team_instance");
		} catch {
			/* the log-in page works without its name, too */
		}
	}

	/* The server said who we are: after a log-in, an accepted link, a change of the profile. */
	take(me: Me, announce: boolean): void {
		const was = this.phase;
		this.me = me;
		this.instance = me.instance;
		setCsrf(me.csrf);
		setLocale(me.person.language, me.person.address);
		ui.setTheme(me.person.theme);
		this.ended = false;
		this.phase = "in";
		if (was !== "in") this.onIn();
		if (announce) this.#channel?.postMessage("in");
	}

	async logIn(email: string, password: string): Promise<void> {
		this.take(await call("team_login", { body: { email, password } }), true);
	}

	async logOut(): Promise<void> {
		try {
			await call("team_logout");
		} finally {
			this.#channel?.postMessage("out");
			this.#leave(false);
		}
	}

	/* The server ended the session: disabled, password changed elsewhere, expired. */
	end(): void {
		this.#leave(this.phase === "in");
	}

	#leave(unasked: boolean): void {
		const was = this.phase;
		this.me = null;
		setCsrf("");
		this.ended = unasked;
		this.phase = "out";
		if (was === "in") this.onOut();
		if (was === "loading" || was === "offline") setLocale(guessLanguage(), "sie");
	}
}

export const session = new Session();
