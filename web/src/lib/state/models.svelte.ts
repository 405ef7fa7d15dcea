/* The models people may talk to, and the downloads on their way. */
import { Pace } from "../../core/pace";
import type { Event as ServerEvent, Model, Pull } from "../../gen/api";
import { call } from "../client";

class Models {
	list = $state.raw<Model[]>([]);
	standard = $state("");
	loaded = $state(false);
	everything = $state.raw<Model[]>([]); /* also those that cannot chat: for the page of models */
	changes = $state(0); /* rises when models or aliases changed */
	pulls = $state.raw<Pull[]>([]);
	#paces = new Map<string, Pace>();

	async load(): Promise<void> {
		const r = await call("team_models");
		this.list = r.models;
		this.standard = r.default;
		this.loaded = true;
	}

	async loadEverything(): Promise<void> {
		this.everything = (await call("team_models", { query: { all: 1 } })).models;
	}

	async loadPulls(): Promise<void> {
		this.pulls = (await call("team_pulls")).pulls;
		for (const p of this.pulls) this.#measure(p);
	}

	/* Bytes a second and seconds left of a download; null: not known (yet). */
	pace(pull: Pull): { speed: number | null; left: number | null } {
		const p = this.#paces.get(pull.id);
		return { speed: p?.perSecond ?? null, left: p?.secondsLeft(pull.total) ?? null };
	}
	#measure(pull: Pull): void {
		if (pull.state !== "running") {
			this.#paces.delete(pull.id);
			return;
		}
		const p = this.#paces.get(pull.id) ?? new Pace();
		p.add(Date.now(), pull.completed);
		this.#paces.set(pull.id, p);
	}

	find(name: string): Model | undefined {
		return this.list.find((m) => m.name === name);
	}

	sees(name: string): boolean {
		return this.find(name)?.capabilities?.includes("vision") ?? false;
	}
	/* Does any of them? */
	get seeing(): boolean {
		return this.list.some((m) => m.capabilities?.includes("vision"));
	}

	/* The model a new conversation begins with. */
	get first(): string {
		return this.find(this.standard)?.name ?? this.list[0]?.name ?? "";
	}

	put(pull: Pull): void {
		this.#measure(pull);
		const at = this.pulls.findIndex((p) => p.id === pull.id);
		this.pulls = at < 0 ? [pull, ...this.pulls] : this.pulls.with(at, pull);
	}

	apply(event: ServerEvent): void {
		if (event.type === "models") {
			this.changes++;
			void this.load().catch(() => {});
		} else if (event.type === "pull") this.put(event.pull);
	}

	clear(): void {
		this.list = [];
		this.everything = [];
		this.pulls = [];
		this.#paces.clear();
		this.standard = "";
		this.loaded = false;
	}
}

export const models = new Models();
