/* How fast a download is and how long it still takes, from what was seen in the last seconds. */
const WINDOW_MS = 12_000;
const LEAST_MS = 1_500; /* before that a figure would only jump */

export class Pace {
	#seen: Array<{ ms: number; bytes: number }> = [];

	/* `bytes`: how many are here at `ms`. Fewer than before: it began anew. */
	add(ms: number, bytes: number): void {
		const last = this.#seen[this.#seen.length - 1];
		if (last && (bytes < last.bytes || ms < last.ms)) this.#seen = [];
		this.#seen.push({ ms, bytes });
		while (this.#seen.length > 2 && ms - (this.#seen[1]?.ms ?? ms) >= WINDOW_MS) this.#seen.shift();
	}

	/* Bytes a second; null as long as nobody can tell. */
	get perSecond(): number | null {
		const first = this.#seen[0];
		const last = this.#seen[this.#seen.length - 1];
		if (!first || !last || last.ms - first.ms < LEAST_MS) return null;
		return ((last.bytes - first.bytes) * 1000) / (last.ms - first.ms);
	}

	/* Seconds; null while nothing comes. */
	secondsLeft(total: number): number | null {
		const speed = this.perSecond;
		const last = this.#seen[this.#seen.length - 1];
		return speed !== null && speed > 0 && last && total >= last.bytes ? (total - last.bytes) / speed : null;
	}
}
