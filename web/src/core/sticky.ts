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

const UP_KEYS = new Set(["ArrowUp", "PageUp", "Home"]);

export class Sticky {
	#rule = new StickyRule();
	#resize: ResizeObserver;
	#off = new AbortController();
	#ownTop = -1; /* where we scrolled to ourselves: the event of that is no person's doing */

	constructor(
		private readonly scroller: HTMLElement,
		content: HTMLElement,
		private readonly changed: (following: boolean) => void,
	) {
		const on = { passive: true, signal: this.#off.signal };
		scroller.addEventListener("scroll", () => this.#onScroll(), on);
		/* Intent comes before movement: while text rushes in, a scroll upwards would be overtaken by
		 * our own scrolling down before its event is heard. */
		scroller.addEventListener("wheel", (e) => e.deltaY < 0 && this.#letGo(), on);
		scroller.addEventListener("touchmove", () => this.#letGo(), on);
		scroller.addEventListener("keydown", (e) => UP_KEYS.has(e.key) && this.#letGo(), on);
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

	/* Something else than the end is looked at. */
	release(): void {
		this.#letGo();
	}

	destroy(): void {
		this.#resize.disconnect();
		this.#off.abort();
	}

	#letGo(): void {
		if (this.scroller.scrollHeight <= this.scroller.clientHeight) return;
		this.#rule.following = false;
		this.changed(false);
	}

	#end(): void {
		this.scroller.scrollTop = this.scroller.scrollHeight;
		this.#ownTop = this.scroller.scrollTop;
	}

	#onScroll(): void {
		const s = this.scroller;
		if (!this.#rule.following && Math.abs(s.scrollTop - this.#ownTop) < 2) return;
		this.changed(this.#rule.moved({ top: s.scrollTop, height: s.clientHeight, full: s.scrollHeight }));
	}
}
