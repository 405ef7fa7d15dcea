/* What is loaded and who waits, read every two seconds while somebody looks. */
import type { Fleet, FleetModel, Model } from "../../gen/api";
import { call } from "../client";
import { explain } from "./ui.svelte";

const EVERY_MS = 2000;

class FleetState {
	now = $state.raw<Fleet | null>(null);
	error = $state("");

	async load(signal?: AbortSignal): Promise<void> {
		try {
			this.now = await call("team_fleet", signal ? { signal } : {});
			this.error = "";
		} catch (e) {
			if (!signal?.aborted) this.error = explain(e);
		}
	}

	/* For an $effect: reads until the returned function is called; `also` with each reading. */
	watch(also: () => void = () => {}): () => void {
		const stop = new AbortController();
		void this.load(stop.signal);
		const timer = setInterval(() => {
			if (document.visibilityState !== "visible") return;
			void this.load(stop.signal);
			also();
		}, EVERY_MS);
		return () => {
			clearInterval(timer);
			stop.abort();
			this.now = null; /* who comes next may not be allowed to see it */
		};
	}

	/* An engine runs a model's weights, whatever name they have. */
	of(m: Model): FleetModel | undefined {
		return this.now?.models.find((x) => x.digest === m.model_digest);
	}
}

export const fleet = new FleetState();
