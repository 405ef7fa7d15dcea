/* Aliases, their prompts and trials. What changes them tells every page by the event `models`. */
import type { Alias, Event as ServerEvent, Trial, TrialPrompt } from "../../gen/api";
import { call } from "../client";

class Aliases {
	list = $state.raw<Alias[]>([]);
	loaded = $state(false);
	trials = $state.raw<ReadonlyMap<string, Trial[]>>(new Map());
	prompts = $state.raw<ReadonlyMap<string, TrialPrompt[]>>(new Map());

	async load(): Promise<void> {
		this.list = (await call("team_aliases")).aliases;
		this.loaded = true;
	}

	/* For those who may change models. */
	async loadTrials(name: string): Promise<void> {
		const trials = (await call("team_trials", { params: { name } })).trials;
		this.trials = new Map(this.trials).set(name, trials);
	}
	async loadPrompts(name: string): Promise<void> {
		const prompts = (await call("team_prompts", { params: { name } })).prompts;
		this.prompts = new Map(this.prompts).set(name, prompts);
	}
	async loadAll(): Promise<void> {
		await this.load();
		await Promise.all(this.list.map((a) => this.loadTrials(a.name)));
	}

	find(name: string): Alias | undefined {
		return this.list.find((a) => a.name === name);
	}

	put(a: Alias): void {
		const at = this.list.findIndex((x) => x.name === a.name);
		this.list = at < 0 ? [...this.list, a].sort((x, y) => x.name.localeCompare(y.name)) : this.list.with(at, a);
	}
	putTrial(name: string, t: Trial): void {
		const list = this.trials.get(name) ?? [];
		const at = list.findIndex((x) => x.id === t.id);
		this.trials = new Map(this.trials).set(name, at < 0 ? [t, ...list] : list.with(at, t));
	}

	apply(event: ServerEvent): void {
		if (event.type === "models" && this.loaded) void this.load().catch(() => {});
	}
	clear(): void {
		this.list = [];
		this.loaded = false;
		this.trials = new Map();
		this.prompts = new Map();
	}
}

export const aliases = new Aliases();
