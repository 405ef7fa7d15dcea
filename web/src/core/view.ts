/* Draws a growing answer into an element: only what changed is touched.
 *
 * One child per block. The open block is drawn again with each update; code grows by appending to
 * a text node, in parts of CODE_PART_LINES lines, because a browser lays out a whole block of text
 * when any of it changes. Closed blocks stay as they are, except that a code block gets its colours
 * once, when it is closed. */
import { type Block, BlockSplitter, heal } from "./blocks";
import { highlight } from "./highlight";
import { renderMarkdown } from "./markdown";

export interface ViewLabels {
	copy: string;
	code: string;
}

const CODE_PART_LINES = 200;
const COLOUR_LINES_MAX = 1_500;

interface Drawn {
	block: Block;
	element: HTMLElement;
	code: CodeNodes | null;
	text: string;
	closed: boolean;
}
interface CodeNodes {
	code: HTMLElement;
	part: Text;
	lines: number;
	length: number;
}

export class MarkdownView {
	#splitter = new BlockSplitter();
	#drawn: Drawn[] = [];
	#length = 0;
	#tail = "";
	#epoch = 0;
	#done = false;

	constructor(
		private readonly root: HTMLElement,
		private readonly labels: ViewLabels,
	) {}

	/* Shows `text`. A new epoch, or text that is not a longer form of the last one, starts afresh. */
	update(text: string, done: boolean, epoch = 0): void {
		const grows = epoch === this.#epoch && text.length >= this.#length && text.slice(this.#length - this.#tail.length, this.#length) === this.#tail && !(this.#done && text.length > this.#length);
		if (!grows) this.#reset(epoch);
		if (text.length > this.#length) {
			this.#splitter.append(text.slice(this.#length));
			this.#length = text.length;
			this.#tail = text.slice(-64);
		}
		if (done && !this.#done) {
			this.#splitter.finish();
			this.#done = true;
		}
		this.#draw();
	}

	/* Draws everything again, for instance with other labels. */
	#reset(epoch: number): void {
		this.#splitter = new BlockSplitter();
		this.#drawn = [];
		this.root.replaceChildren();
		this.#length = 0;
		this.#tail = "";
		this.#epoch = epoch;
		this.#done = false;
	}

	#draw(): void {
		const blocks = this.#splitter.blocks;
		let from = this.#drawn.length;
		while (from > 0 && !this.#drawn[from - 1]?.closed) from--;
		for (let i = from; i < blocks.length; i++) {
			const block = blocks[i];
			if (!block) break;
			let d = this.#drawn[i];
			if (d && d.block !== block) {
				for (const gone of this.#drawn.splice(i)) gone.element.remove();
				d = undefined;
			}
			if (!d) {
				d = this.#make(block);
				this.#drawn.push(d);
				this.root.append(d.element);
			}
			this.#refresh(d);
		}
		for (const gone of this.#drawn.splice(blocks.length)) gone.element.remove();
	}

	#make(block: Block): Drawn {
		const element = document.createElement("div");
		element.className = block.kind === "code" ? "code" : block.continues ? "md md-continues" : "md";
		const code = block.kind === "code" ? this.#makeCode(block, element) : null;
		return { block, element, code, text: "", closed: false };
	}

	#makeCode(block: Block, element: HTMLElement): CodeNodes {
		const head = document.createElement("div");
		head.className = "code-head";
		const lang = document.createElement("span");
		lang.textContent = block.lang || this.labels.code;
		const button = document.createElement("button");
		button.type = "button";
		button.dataset["copy"] = "";
		button.textContent = this.labels.copy;
		head.append(lang, button);
		const pre = document.createElement("pre");
		pre.tabIndex = 0; /* long lines scroll: by keyboard, too */
		const code = document.createElement("code");
		pre.append(code);
		element.append(head, pre);
		return { code, part: newPart(code), lines: 0, length: 0 };
	}

	#refresh(d: Drawn): void {
		const { block } = d;
		if (d.code) {
			if (d.text !== block.text || block.closed) growCode(d.code, block.text);
			if (block.closed) colourCode(d.code, block);
		} else if (d.text !== block.text || block.closed) {
			d.element.replaceChildren(renderMarkdown(block.closed ? block.text : heal(block.text)));
		}
		d.text = block.text;
		d.closed = block.closed;
	}
}

function newPart(code: HTMLElement): Text {
	const span = document.createElement("span");
	span.className = "code-part";
	const text = document.createTextNode("");
	span.append(text);
	code.append(span);
	return text;
}

function growCode(nodes: CodeNodes, text: string): void {
	if (text.length < nodes.length) {
		/* the shown end of an unfinished line was taken back */
		nodes.code.replaceChildren();
		nodes.part = newPart(nodes.code);
		nodes.lines = 0;
		nodes.length = 0;
	}
	let from = nodes.length;
	while (from < text.length) {
		let at = from;
		while (nodes.lines < CODE_PART_LINES) {
			const end = text.indexOf("\n", at);
			if (end < 0) {
				at = text.length;
				break;
			}
			nodes.lines++;
			at = end + 1;
		}
		nodes.part.appendData(text.slice(from, at));
		from = at;
		if (nodes.lines >= CODE_PART_LINES) {
			nodes.part = newPart(nodes.code);
			nodes.lines = 0;
		}
	}
	nodes.length = text.length;
}

function colourCode(nodes: CodeNodes, block: Block): void {
	const parts = nodes.code.children.length;
	if (parts * CODE_PART_LINES > COLOUR_LINES_MAX) return;
	const fragment = document.createDocumentFragment();
	for (const piece of highlight(block.text, block.lang)) {
		if (piece.shade === "") {
			fragment.append(piece.text);
			continue;
		}
		const span = document.createElement("span");
		span.className = `c-${piece.shade}`;
		span.textContent = piece.text;
		fragment.append(span);
	}
	nodes.code.replaceChildren(fragment);
}
