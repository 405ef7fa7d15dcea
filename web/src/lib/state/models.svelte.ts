/* The models people may talk to, and the downloads on their way. */
import type { Event as ServerEvent, Model, Pull } from "../../gen/api";
import { call } from "../client";

class Models {
	list = $state.raw<Model[]>([]);
	standard = $state("");
	loaded = $state(false);
	pulls = $state.raw<Pull[]>([]);

	async load(): Promise<void> {
		const r = await call("team_models");
		this.list = r.models;
		this.standard = r.default;
		this.loaded = true;
	}

	async loadPulls(): Promise<void> {
		this.pulls = (await call("team_pulls")).pulls;
	}

	find(name: string): Model | undefined {
		return this.list.find((m) => m.name === name);
	}

	/* The model a new conversation begins with. */
	get first(): string {
		return this.find(this.standard)?.name ?? this.list[0]?.name ?? "";
	}

	put(pull: Pull): void {
		const at = this.pulls.findIndex((p) => p.id === pull.id);
		this.pulls = at < 0 ? [pull, ...this.pulls] : this.pulls.with(at, pull);
	}

	apply(event: ServerEvent): void {
		if (event.type === "models") void this.load().catch(() => {});
		else if (event.type === "pull") this.put(event.pull);
	}

	clear(): void {
		this.list = [];
		this.pulls = [];
		this.standard = "";
		this.loaded = false;
	}
}

export const models = new Models();
