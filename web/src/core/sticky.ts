/* Keeps a scroller at its end while text grows, and lets go as soon as the person scrolls up.
 *
 * The only code that sets scrollTop of the message column. A growing content alone never changes
 * `following`; only movement that the content did not cause does: up lets go, reaching the end
 * (within NEAR_PX) takes hold again. */

export const NEAR_PX = 48;

export interface Metrics {
	top: number;
	height: number; /* of the window */
	full: number; /* of the content */
}

export class StickyRule {
	following = true;
	#last: Metrics = { top: 0, height: 0, full: 0 };

	/* The scroller moved. Returns whether it is following now. */
	moved(m: Metrics): boolean {
		const atEnd = m.full - m.height - m.top <= NEAR_PX;
		const shrank = m.full < this.#last.full || m.height !== this.#last.height;
		if (atEnd) this.following = true;
		else if (m.top < this.#last.top - 1 && !shrank) this.following = false;
		this.#last = m;
		return this.following;
	}
}

export class Sticky {
	#rule = new StickyRule();
	#resize: ResizeObserver;
	#mutate: () => void;

	constructor(
		private readonly scroller: HTMLElement,
		content: HTMLElement,
		private readonly changed: (following: boolean) => void,
	) {
		this.#mutate = () => this.#onScroll();
		scroller.addEventListener("scroll", this.#mutate, { passive: true });
		this.#resize = new ResizeObserver(() => {
			if (this.#rule.following) this.#end();
			else this.changed(false);
		});
		this.#resize.observe(content);
		this.#resize.observe(scroller);
	}

	toEnd(): void {
		this.#rule.following = true;
		this.#end();
		this.changed(true);
	}

	destroy(): void {
		this.#resize.disconnect();
		this.scroller.removeEventListener("scroll", this.#mutate);
	}

	#end(): void {
		this.scroller.scrollTop = this.scroller.scrollHeight;
	}

	#onScroll(): void {
		const s = this.scroller;
		this.changed(this.#rule.moved({ top: s.scrollTop, height: s.clientHeight, full: s.scrollHeight }));
	}
}
